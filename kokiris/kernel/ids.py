"""Identifiers: 36-character lower-case UUIDs, as Nomad's and Consul's clients expect them."""

from __future__ import annotations

import os
import re
import uuid

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A random UUID (version 4)."""
    return str(uuid.uuid4())


def new_ids(count: int) -> bytes:
    """`count` random UUIDs packed in 16 bytes each, from one read of the kernel's generator (fast for large plans)."""
    return os.urandom(16 * count)


def id_at(packed: bytes, row: int) -> str:
    """The UUID text of `row` in what `new_ids` gave."""
    digits = packed[16 * row : 16 * row + 16].hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def pack_id(identifier: str) -> bytes:
    """The 16 bytes of a UUID text."""
    return bytes.fromhex(identifier.replace("-", ""))


def is_id(text: str) -> bool:
    """Whether `text` is a full UUID in lower case."""
    return _UUID.fullmatch(text) is not None
