"""Watching: every commit once, whole and in order, from the past into the present, on both stores."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import Batch, Compacted, Event, Store
from tests.contract.store.harness import DEADLINE_S, Harness, check_stream, follow, revision_of, wait_until

pytestmark = pytest.mark.engine


async def test_events_say_what_happened(store: Store, harness: Harness) -> None:
    a, b = harness.key("a"), harness.key("b")
    first = await store.commit(puts={b: b"2", a: b"1"})
    second = await store.commit(puts={a: b"3"}, deletes=[b, harness.key("absent")])
    batches = await follow(store, harness.root, first.revision, second.revision)
    one, two = first.revision, second.revision
    assert [Batch(each.revision, list(each.events)) for each in batches] == [
        Batch(one, [Event(a, b"1", one, one), Event(b, b"2", one, one)]),
        Batch(two, [Event(a, b"3", one, two), Event(b, None, 0, two)]),
    ]


async def test_only_the_prefix_but_always_the_revision(store: Store, harness: Harness) -> None:
    """A commit that touches nothing under the prefix is told as a revision without events."""
    start = await revision_of(store) + 1
    mine = await store.commit(puts={harness.key("mine/a"): b"1"})
    other = await store.commit(puts={harness.key("other/a"): b"1"})
    batches = await follow(store, harness.key("mine/"), start, other.revision)
    assert [each.revision for each in batches if each.events] == [mine.revision]
    assert batches[-1].revision == other.revision
    assert not batches[-1].events


async def test_from_the_past_into_the_present_for_many_watchers(store: Store, harness: Harness) -> None:
    start, expected, total = await revision_of(store) + 1, {}, 300

    async def write() -> None:
        for each in range(total):
            puts = {harness.key(f"{each % 5}/{name}"): b"%d" % each for name in range(each % 3 + 1)}
            result = await store.commit(puts=puts)
            expected[result.revision] = puts

    writing = asyncio.create_task(write())
    watchers = []
    for each in range(6):
        await wait_until(lambda count=each * 40: len(expected) >= count)
        watchers.append(asyncio.create_task(follow(store, harness.root, start, start + total - 1)))
    streams = await asyncio.gather(*watchers)
    await writing  # a watcher may see a commit before the one who made it knows its revision
    for batches in streams:
        check_stream(batches, start)
        assert {each.revision: {event.key: event.value for event in each.events} for each in batches} == expected


async def test_resuming_after_any_revision_gives_the_rest(store: Store, harness: Harness) -> None:
    start = await revision_of(store) + 1
    for each in range(30):
        await store.commit(puts={harness.key(each): b"x"})
    whole = await follow(store, harness.root, start, start + 29)
    for cut in (0, 1, 13, 29):
        rest = await follow(store, harness.root, start + cut, start + 29)
        assert [event for batch in rest for event in batch.events] == [
            event for batch in whole if batch.revision >= start + cut for event in batch.events
        ]


async def test_a_watch_of_the_future_waits_for_it(store: Store, harness: Harness) -> None:
    present = await revision_of(store)
    watching = asyncio.create_task(follow(store, harness.root, present + 3, present + 3))
    for each in range(3):
        await asyncio.sleep(0.05)
        await store.commit(puts={harness.key(each): b"x"})
    batches = await watching
    assert [event.key for batch in batches for event in batch.events] == [harness.key(2)]


async def test_a_slow_watcher_misses_nothing(store: Store, harness: Harness) -> None:
    """More events than any buffer holds, while the watcher does not read."""
    start = await revision_of(store) + 1
    commits, keys = 60, 500
    async with asyncio.timeout(DEADLINE_S), aclosing(store.watch(harness.root, start)) as watching:
        await store.commit(puts={harness.key("first"): b""})
        batches = [await anext(watching)]
        for each in range(commits):
            await store.commit(puts={harness.key(f"{key:03d}"): b"%d" % each for key in range(keys)})
        while batches[-1].revision < start + commits:
            batches.append(await anext(watching))
    check_stream(batches, start)
    assert [len(batch.events) for batch in batches] == [1, *[keys] * commits]


async def test_large_commits_of_the_past_come_whole(store: Store, harness: Harness) -> None:
    """Together more than one message of etcd holds, so that it is sent in fragments."""
    start, keys, value = (
        await revision_of(store) + 1,
        [harness.key(f"{each:02d}") for each in range(20)],
        bytes(1_000_000),
    )
    for _ in range(3):
        await store.commit(puts=dict.fromkeys(keys, value))
    batches = await follow(store, harness.root, start, start + 2)
    assert [(each.revision, [event.key for event in each.events]) for each in batches] == [
        (start + each, keys) for each in range(3)
    ]


async def test_history_that_is_gone_is_compacted(store: Store, harness: Harness) -> None:
    start = await revision_of(store) + 1
    for each in range(300):
        await store.commit(puts={harness.key(each % 3): b"%d" % each}, deletes=[harness.key("d")] if each % 2 else [])
        if each % 2 == 0:
            await store.commit(puts={harness.key("d"): b"x"})
    before = {item.key: item for item in (await store.range(harness.root)).items}
    store = await harness.compact_all_but(store, 100)
    with pytest.raises(Compacted):
        await follow(store, harness.root, start, start)
    for item in before.values():
        assert await store.get(item.key) == item
    present = await revision_of(store)
    recent = await follow(store, harness.root, present - 50, present)
    check_stream(recent, present - 50)
    assert recent[-1].revision == present


async def test_an_abandoned_watch_disturbs_nobody(store: Store, harness: Harness) -> None:
    start = await revision_of(store) + 1
    gone = asyncio.create_task(follow(store, harness.root, start, start + 10**9))
    await store.commit(puts={harness.key("a"): b"1"})
    await asyncio.sleep(0.05)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    result = await store.commit(puts={harness.key("a"): b"2"})
    check_stream(await follow(store, harness.root, start, result.revision), start)


async def test_closing_is_idempotent_and_ends_watches(store: Store, harness: Harness) -> None:
    await store.commit(puts={harness.key("a"): b"1"})
    start = await revision_of(store) + 1

    async def until_the_end() -> None:
        async for _ in store.watch(harness.root, start):
            pass

    watching = asyncio.create_task(until_the_end())
    await asyncio.sleep(0.1)
    await store.close()
    await store.close()
    await asyncio.wait_for(watching, DEADLINE_S)
    for call in (store.get(b"a"), store.range(b"a"), store.commit(puts={b"a": b""}), store.lease(1)):
        with pytest.raises(StoreError, match="closed"):
            await call
