"""Followers: a view that is loaded, kept up, waited for, and loaded again when it fell behind. On both stores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from kokiris.kernel.errors import StoreError, Unavailable
from kokiris.store.contract import Compacted, Event, Range, Store
from kokiris.store.follow import Follower
from tests.contract.store.harness import DEADLINE_S, Harness, wait_until

pytestmark = pytest.mark.engine


class View:
    """What a server keeps in memory."""

    def __init__(self, store: Store, prefix: bytes) -> None:
        self.values: dict[bytes, bytes] = {}
        self.loads = 0
        self.revisions: list[int] = []
        self.follower = Follower(store, prefix, self.load, self.apply)

    def load(self, found: Range) -> None:
        self.loads += 1
        self.values = {item.key: item.value for item in found.items}

    def apply(self, revision: int, events: Sequence[Event]) -> None:
        self.revisions.append(revision)
        for event in events:
            if event.value is None:
                del self.values[event.key]
            else:
                self.values[event.key] = event.value


async def test_a_view_follows_and_can_be_waited_for(store: Store, harness: Harness) -> None:
    """Two views of one process, and a commit in the one is waited for in both."""
    await store.commit(puts={harness.key("a/1"): b"1", harness.key("b/1"): b"1"})
    a, b = View(store, harness.key("a/")), View(store, harness.key("b/"))
    assert a.follower.revision == 0
    await a.follower.start()
    await b.follower.start()
    assert a.values == {harness.key("a/1"): b"1"}
    for each in range(50):
        result = await store.commit(puts={harness.key(f"a/{each}"): b"x"}, deletes=[harness.key(f"a/{each - 1}")])
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(a.follower.wait_for(result.revision), b.follower.wait_for(result.revision))
        assert harness.key(f"a/{each}") in a.values
        assert b.follower.revision >= result.revision
    assert a.values == {harness.key("a/49"): b"x"}
    assert b.values == {harness.key("b/1"): b"1"}
    assert a.revisions == sorted(set(a.revisions))
    assert (a.loads, b.loads) == (1, 1)
    await a.follower.stop()
    await b.follower.stop()


async def test_many_wait_for_many_revisions(store: Store, harness: Harness) -> None:
    view = View(store, harness.root)
    await view.follower.start()

    async def write(number: int) -> None:
        result = await store.commit(puts={harness.key(number): b"x"})
        await view.follower.wait_for(result.revision)
        assert harness.key(number) in view.values

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(write(number) for number in range(200)))
    await view.follower.stop()


async def test_stopping_releases_who_waits(store: Store, harness: Harness) -> None:
    view = View(store, harness.root)
    await view.follower.start()
    waiting = asyncio.create_task(view.follower.wait_for(10**12))
    await asyncio.sleep(0)
    await view.follower.stop()
    await view.follower.stop()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await view.follower.wait_for(10**12)
    assert view.follower.failed.cancelled()


async def test_a_view_that_raises_is_reported(store: Store, harness: Harness) -> None:
    def broken(revision: int, events: Sequence[Event]) -> None:
        if events:
            raise KeyError("a defect")

    follower = Follower(store, harness.root, lambda found: None, broken)
    await follower.start()
    assert not follower.failed.done()
    result = await store.commit(puts={harness.key("a"): b"1"})
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(Unavailable):
            await follower.wait_for(result.revision)
        with pytest.raises(KeyError, match="a defect"):
            await follower.failed
    await follower.stop()


async def test_the_store_is_closed_underneath(store: Store, harness: Harness) -> None:
    view = View(store, harness.root)
    await view.follower.start()
    await store.close()
    with pytest.raises(StoreError):
        await asyncio.wait_for(view.follower.failed, DEADLINE_S)
    await view.follower.stop()


async def test_a_view_that_fell_behind_loads_again(store: Store, harness: Harness) -> None:
    """The first watch says Compacted; so does the first attempt to load after it fail."""
    view = View(store, harness.root)
    real_watch, real_range = store.watch, store.range
    trouble: list[Any] = []

    async def watch_once_compacted(prefix: bytes, start: int) -> Any:
        if not trouble:
            trouble.append(Compacted)
            await store.commit(puts={harness.key("missed"): b"1"})
            store.range = range_once_failing
            raise Compacted
        async for batch in real_watch(prefix, start):
            yield batch

    async def range_once_failing(prefix: bytes) -> Range:
        if len(trouble) == 1:
            trouble.append(StoreError)
            raise StoreError("not now")
        return await real_range(prefix)

    store.watch = watch_once_compacted
    await view.follower.start()
    await wait_until(lambda: view.loads == 2)
    assert view.values == {harness.key("missed"): b"1"}
    result = await store.commit(puts={harness.key("after"): b"2"})
    await asyncio.wait_for(view.follower.wait_for(result.revision), DEADLINE_S)
    assert harness.key("after") in view.values
    await view.follower.stop()
