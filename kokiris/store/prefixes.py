"""Prefixes as ranges of keys. Pure."""

from __future__ import annotations


def prefix_end(prefix: bytes) -> bytes | None:
    """The first key after all keys that start with `prefix`; None when there is no such key ("" or all 0xff)."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
