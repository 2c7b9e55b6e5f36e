"""Search requests over all days: hits, sorting, aggregations."""
