"""Writes of discovery: decided from the catalog in memory, committed under conditions, then seen in the catalog."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import Keys
from kokiris.kernel.errors import Busy
from kokiris.store.contract import Condition, Lease, Store

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 50


@dataclass(slots=True)
class Change(Generic[T]):
    """What a decision wants written, and what its caller gets once it is. Without puts and deletes nothing is."""

    result: T
    conditions: list[Condition] = field(default_factory=list)
    puts: dict[bytes, bytes] = field(default_factory=dict)
    deletes: list[bytes] = field(default_factory=list)
    revision: int = 0
    """Set by the writer: of the commit, or of the catalog when there was nothing to write."""

    def put(self, key: bytes, value: msgspec.Struct) -> None:
        self.puts[key] = msgspec.msgpack.encode(value)

    def require(self, key: bytes, mod_revision: int) -> None:
        """Write only while `key` is at `mod_revision` (0: absent)."""
        condition = Condition(key, mod_revision)
        if condition not in self.conditions:
            self.conditions.append(condition)

    def giving(self, result: R) -> Change[R]:
        """The same writes with another result."""
        return Change(result, self.conditions, self.puts, self.deletes)


class CatalogWriter:
    """The only door through which discovery writes. `seen(revision)` returns once the catalog has applied it (the
    follower's `wait_for`)."""

    def __init__(self, store: Store, catalog: Catalog, keys: Keys, seen: Callable[[int], Awaitable[None]]) -> None:
        self.catalog = catalog
        self.keys = keys
        self._store = store
        self._seen = seen

    async def change(self, decide: Callable[[], Change[T]], *, lease: Lease | None = None) -> Change[T]:
        """Commits what `decide` wants and returns it; the catalog reflects it already.

        `decide` reads the catalog and has no effects: it is called again when a condition failed because somebody else
        was faster. Raises Busy when that happens 50 times in a row, StoreError when the store fails, Unavailable when
        the catalog is not being fed.
        """
        for _ in range(ATTEMPTS):
            change = decide()
            if not change.puts and not change.deletes:
                change.revision = self.catalog.revision
                return change
            done = await self._store.commit(change.conditions, change.puts, change.deletes, lease=lease)
            await self._seen(done.revision)
            if done.succeeded:
                change.revision = done.revision
                return change
        raise Busy(f"{ATTEMPTS} attempts to write were each overtaken by others")

    async def lease(self, ttl_s: float) -> Lease:
        """For keys that are to vanish by themselves."""
        return await self._store.lease(ttl_s)
