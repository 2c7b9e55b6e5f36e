"""Log search: entries collected, indexed and found, behind Elasticsearch's API (docs/decisions/0010-log-index.md)."""
