"""Task drivers: docker, and raw_exec for the platform's own needs."""
