"""The HTTP API: what Elasticsearch clients and shippers call, and a plain page for people."""
