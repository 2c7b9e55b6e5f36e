"""HAProxy: its configuration, its runtime API, and bringing the one that runs to what is wanted."""
