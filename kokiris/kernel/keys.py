"""Store keys: path-like bytes whose parts may hold any text. Pure."""

from __future__ import annotations

from urllib.parse import quote, unquote


def key(*parts: str) -> bytes:
    """`/a/b/c`, each part percent-quoted so that a "/" in a job's name never changes the depth."""
    return "".join(f"/{quote(part, safe='')}" for part in parts).encode()


def prefix(*parts: str) -> bytes:
    """The prefix of all keys below `key(*parts)`, with its closing slash."""
    return key(*parts) + b"/"


def parts(stored: bytes, below: bytes) -> list[str]:
    """The parts of `stored` after the prefix `below`."""
    return [unquote(part) for part in stored[len(below) :].decode().split("/")]
