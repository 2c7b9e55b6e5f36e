"""All databases in memory, fed by the store's watch, and the door through which they are changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from kokiris.databases.model import Database, Keys
from kokiris.kernel.errors import Busy, NotFound
from kokiris.store.contract import Condition, Event, Range, Store

ATTEMPTS = 20


class DatabaseTable:
    """A view; see `store.follow.Follower`."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._by_name: dict[str, tuple[Database, int]] = {}

    @property
    def root(self) -> bytes:
        return self.keys.root

    def all(self) -> Sequence[Database]:
        """By name."""
        return [self._by_name[name][0] for name in sorted(self._by_name)]

    def find(self, name: str) -> tuple[Database, int] | None:
        """A copy, and the revision it is of."""
        found = self._by_name.get(name)
        return (msgspec.structs.replace(found[0]), found[1]) if found else None

    def get(self, name: str) -> Database:
        """Raises NotFound."""
        found = self.find(name)
        if found is None:
            raise NotFound(f'database "{name[:40]}" does not exist', next_step="`kokiris db list` shows what exists.")
        return found[0]

    def load(self, snapshot: Range) -> None:
        """Replaces everything with `snapshot`."""
        self._by_name.clear()
        self.apply(
            snapshot.revision,
            [Event(one.key, one.value, one.create_revision, one.mod_revision) for one in snapshot.items],
        )

    def apply(self, revision: int, events: Sequence[Event]) -> None:
        """Applies one commit."""
        del revision
        for event in events:
            name = event.key.rsplit(b"/", 1)[1].decode()
            self._by_name.pop(name, None)
            if event.value is not None:
                self._by_name[name] = (msgspec.msgpack.decode(event.value, type=Database), event.mod_revision)


class DatabaseRecords:
    """Conditional writes. `seen(revision)` returns once the table has applied it."""

    def __init__(self, store: Store, table: DatabaseTable, seen: Callable[[int], Awaitable[None]]) -> None:
        self.table = table
        self._store = store
        self._seen = seen

    async def add(self, database: Database) -> bool:
        """False when there is one of that name."""
        key = self.table.keys.database(database.Name)
        return await self._commit(Condition(key, 0), {key: msgspec.msgpack.encode(database)})

    async def change(self, name: str, change: Callable[[Database], None]) -> Database:
        """Applies `change` to the newest record. Raises NotFound, Busy."""
        key = self.table.keys.database(name)
        for _ in range(ATTEMPTS):
            found = self.table.find(name)
            if found is None:
                self.table.get(name)  # raises
                continue
            change(found[0])
            if await self._commit(Condition(key, found[1]), {key: msgspec.msgpack.encode(found[0])}):
                return found[0]
        raise Busy(f'the record of database "{name}" is changed by others all the time')

    async def remove(self, name: str) -> None:
        """Idempotent."""
        done = await self._store.commit([], {}, [self.table.keys.database(name)])
        await self._seen(done.revision)

    async def _commit(self, condition: Condition, puts: dict[bytes, bytes]) -> bool:
        done = await self._store.commit([condition], puts)
        await self._seen(done.revision)
        return done.succeeded
