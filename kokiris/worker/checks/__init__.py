"""Health checks of service instances: what to ask, what an answer means, when to ask again."""
