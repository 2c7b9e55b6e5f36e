"""What one commit may hold: the same on every store, so that what works on one node works on three. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kokiris.kernel.errors import BadInput, TooLarge
from kokiris.store.contract import Condition

MAX_OPERATIONS = 4096
"""Conditions, and puts plus deletes, of one commit. Our etcd is started with `--max-txn-ops 5000`."""
MAX_COMMIT_BYTES = 24 * 1024 * 1024
"""Keys and values of one commit. Our etcd is started with `--max-request-bytes 33554432`, framing included."""
RESERVED = b"\0"
"""No key of a user starts with this byte: it is kept for a store's own records."""

_SPLIT = "Split it into several commits."


def check_commit(conditions: Sequence[Condition], puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> None:
    """Raises BadInput for an empty, reserved or doubly named key, TooLarge (a limit of the store) beyond the limits."""
    for key in (*puts, *deletes):
        check_key(key)
    both = puts.keys() & set(deletes)
    if both:
        raise BadInput(f"commit: key {min(both)!r} is both put and deleted")
    operations = max(len(conditions), len(puts) + len(deletes))
    if operations > MAX_OPERATIONS:
        raise TooLarge(f"commit of {operations} operations is over the limit of {MAX_OPERATIONS}", next_step=_SPLIT)
    size_bytes = sum(len(key) + len(value) for key, value in puts.items()) + sum(len(key) for key in deletes)
    if size_bytes > MAX_COMMIT_BYTES:
        raise TooLarge(f"commit of {size_bytes} bytes is over the limit of {MAX_COMMIT_BYTES}", next_step=_SPLIT)


def check_key(key: bytes) -> None:
    """Raises BadInput if `key` cannot be a key."""
    if not key or key.startswith(RESERVED):
        raise BadInput(f"key {key!r} is empty or starts with a zero byte")
