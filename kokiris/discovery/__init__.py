"""Service discovery: the catalog, health, key/value and sessions, behind Consul's HTTP API and DNS."""
