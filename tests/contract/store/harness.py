"""Both stores behind one handle, what a watch must say, and a model to compare with."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import cast

from kokiris.store.contract import Batch, Condition, Event, Range, Store
from kokiris.store.opening import open_store
from kokiris.store.sqlite.store import SqliteStore
from tests.engines.etcd import Etcd

DEADLINE_S = 60.0


class Harness:
    """A store to test, keys of one's own (`root`), and ways to open it again and to compact it."""

    def __init__(self, kind: str, folder: Path, etcd: Etcd | None) -> None:
        self.kind = kind
        self.folder = folder
        self.etcd = etcd
        self.root = f"/test/{uuid.uuid4()}/".encode()
        self._opened: list[Store] = []

    async def open(self) -> Store:
        """One more client of etcd; the one and only of SQLite: close the former first."""
        endpoints, tls = (self.etcd.endpoints, self.etcd.tls) if self.etcd else ((), None)
        store = await open_store(self.kind, path=self.folder / "store", endpoints=endpoints, tls=tls)
        self._opened.append(store)
        return store

    async def compact_all_but(self, store: Store, revisions: int) -> Store:
        """Makes the store forget history; gives the store to go on with."""
        present = (await store.range(self.root)).revision
        if self.etcd is not None:
            self.etcd.ctl("compact", str(present - revisions))
            return store
        await store.close()
        reopened = await SqliteStore.open(self.folder / "store", keep_revisions=revisions)
        self._opened.append(reopened)
        for _ in range(200):  # it compacts as it writes
            await reopened.commit(puts={self.key("compacting"): b""})
        return reopened

    def key(self, name: str | int) -> bytes:
        return self.root + str(name).encode()

    async def close(self) -> None:
        for store in self._opened:
            await store.close()


async def follow(store: Store, prefix: bytes, start: int, until: int) -> list[Batch]:
    """What a watch from `start` gives until it has delivered everything up to `until`."""
    batches = []
    async with asyncio.timeout(DEADLINE_S), aclosing(store.watch(prefix, start)) as watching:
        async for batch in watching:
            batches.append(batch)
            if batch.revision >= until:
                break
    return batches


async def revision_of(store: Store) -> int:
    """The present one."""
    return (await store.range(b"/none/")).revision


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Returns once `check` holds."""
    end = time.monotonic() + DEADLINE_S
    while not await check():
        assert time.monotonic() < end, "the condition never held"
        await asyncio.sleep(0.01)


async def wait_until(holding: Callable[[], bool]) -> None:
    """Returns once `holding` says so."""

    async def check() -> bool:
        return holding()

    await eventually(check)


def check_stream(batches: Sequence[Batch], start: int) -> None:
    """Revisions rise, no commit comes twice, events carry their batch's revision and stand in key order."""
    revisions = [batch.revision for batch in batches]
    assert revisions == sorted(set(revisions))
    assert all(revision >= start for revision in revisions)
    for batch in batches:
        keys = [event.key for event in batch.events]
        assert keys == sorted(set(keys))
        assert {event.mod_revision for event in batch.events} <= {batch.revision}


State = Mapping[bytes, Event]
"""Live keys: the event that wrote each last."""


def replay(batches: Sequence[Batch]) -> dict[int, State]:
    """The state after each commit, by revision, from an empty start."""
    state: dict[bytes, Event] = {}
    states: dict[int, State] = {}
    for batch in batches:
        for event in batch.events:
            if event.value is None:
                assert event.key in state, "the deletion of a key that was not there is no change"
                del state[event.key]
            else:
                before = state.get(event.key)
                assert event.create_revision == (before.create_revision if before else batch.revision)
                state[event.key] = event
        states[batch.revision] = dict(state)
    return states


def holds(state: State, conditions: Sequence[Condition]) -> bool:
    """Whether all conditions hold in `state`."""
    return all((state[each.key].mod_revision if each.key in state else 0) == each.mod_revision for each in conditions)


def check_range(found: Range, state: State) -> None:
    """A range is the state at its revision."""
    assert [(item.key, item.value, item.create_revision, item.mod_revision) for item in found.items] == [
        (key, cast(bytes, event.value), event.create_revision, event.mod_revision)
        for key, event in sorted(state.items())
    ]
