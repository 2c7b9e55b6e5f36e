"""Consul's HTTP API over the catalog."""
