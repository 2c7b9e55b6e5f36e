"""A commit in the making: conditions, puts and deletes, collected by pure functions and written at once."""

from __future__ import annotations

import msgspec

from kokiris.store.contract import Condition

_encoder = msgspec.msgpack.Encoder()


class Draft:
    """What one commit will do. A later put or delete of a key replaces an earlier one."""

    def __init__(self) -> None:
        self.puts: dict[bytes, bytes] = {}
        self.deletes: set[bytes] = set()
        self._expected: dict[bytes, int] = {}

    def __bool__(self) -> bool:
        """Whether it would change anything."""
        return bool(self.puts or self.deletes)

    def expect(self, key: bytes, mod_revision: int) -> None:
        """The commit holds only while `key` is at `mod_revision` (0: absent)."""
        self._expected[key] = mod_revision

    def put(self, key: bytes, value: msgspec.Struct) -> None:
        self.put_raw(key, _encoder.encode(value))

    def put_raw(self, key: bytes, value: bytes) -> None:
        self.deletes.discard(key)
        self.puts[key] = value

    def delete(self, key: bytes) -> None:
        self.puts.pop(key, None)
        self.deletes.add(key)

    def absorb(self, other: Draft) -> None:
        """Adds all of `other`."""
        self._expected.update(other._expected)
        for key, value in other.puts.items():
            self.put_raw(key, value)
        for key in other.deletes:
            self.delete(key)

    @property
    def conditions(self) -> list[Condition]:
        return [Condition(key, revision) for key, revision in self._expected.items()]
