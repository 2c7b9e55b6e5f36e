"""kokiris: a private container cloud. One package per thing a user can open; see docs/architecture.md."""

__version__ = "0.1.0"
