"""Writes of discovery: decided from the catalog in memory, committed under conditions, then seen in the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import Keys
from kokiris.kernel.errors import Busy
from kokiris.store.contract import Condition, Lease, Store

T = TypeVar("T")

ATTEMPTS = 50


@dataclass(slots=True)
class Change(Generic[T]):
    """What a decision wants written, and what its caller gets once it is. Without puts and deletes nothing is."""

    result: T
    conditions: list[Condition] = field(default_factory=list)
    puts: dict[bytes, bytes] = field(default_factory=dict)
    deletes: list[bytes] = field(default_factory=list)

    def put(self, key: bytes, value: msgspec.Struct) -> None:
        self.puts[key] = msgspec.msgpack.encode(value)

    def require(self, key: bytes, mod_revision: int) -> None:
        """Write only while `key` is at `mod_revision` (0: absent)."""
        self.conditions.append(Condition(key, mod_revision))


class CatalogWriter:
    """The only door through which discovery writes."""

    def __init__(self, store: Store, catalog: Catalog, keys: Keys) -> None:
        self.catalog = catalog
        self.keys = keys
        self._store = store

    async def change(self, decide: Callable[[], Change[T]], *, lease: Lease | None = None) -> T:
        """Commits what `decide` wants and returns its result; the catalog reflects it already.

        `decide` reads the catalog and has no effects: it is called again when a condition failed because somebody else
        was faster. Raises Busy when that happens 50 times in a row, StoreError when the store fails.
        """
        for _ in range(ATTEMPTS):
            change = decide()
            if not change.puts and not change.deletes:
                return change.result
            done = await self._store.commit(change.conditions, change.puts, change.deletes, lease=lease)
            await self.catalog.applied(done.revision)
            if done.succeeded:
                return change.result
        raise Busy(f"{ATTEMPTS} attempts to write were each overtaken by others")

    async def write(self, puts: Mapping[bytes, bytes] | None = None, deletes: Sequence[bytes] = ()) -> None:
        """Writes without conditions."""
        done = await self._store.commit((), puts, deletes)
        await self.catalog.applied(done.revision)

    async def lease(self, ttl_s: float) -> Lease:
        return await self._store.lease(ttl_s)
