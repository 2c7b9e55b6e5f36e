"""The worker's own door: files, logs, exec, statistics (mutual TLS, called by servers)."""
