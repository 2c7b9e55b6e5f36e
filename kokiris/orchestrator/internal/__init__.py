"""The internal API: what workers call over mutual TLS (docs/architecture.md)."""
