"""Variables: small secrets and settings under a path, encrypted at rest, read by people and by jobs' templates."""
