"""The contract of kokiris.store.contract, guarantee by guarantee, on both stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kokiris.kernel.errors import BadInput, KokirisError, TooLarge
from kokiris.store.contract import Condition, Event, KeyValue, Store
from kokiris.store.limits import MAX_COMMIT_BYTES, MAX_OPERATIONS
from tests.contract.store.harness import Harness, follow

pytestmark = pytest.mark.engine


async def test_an_absent_key_is_none_and_an_empty_prefix_is_empty(store: Store, harness: Harness) -> None:
    assert await store.get(harness.key("nothing")) is None
    found = await store.range(harness.root)
    assert list(found.items) == []
    assert found.revision >= 1


async def test_a_commit_has_one_revision_which_all_its_changes_carry(store: Store, harness: Harness) -> None:
    a, b = harness.key("a"), harness.key("b")
    first = await store.commit(puts={a: b"1", b: b"2"})
    assert first.succeeded
    assert await store.get(a) == KeyValue(a, b"1", first.revision, first.revision)
    assert await store.get(b) == KeyValue(b, b"2", first.revision, first.revision)
    second = await store.commit(puts={a: b"3"}, deletes=[b])
    assert second.revision == first.revision + 1
    assert await store.get(a) == KeyValue(a, b"3", first.revision, second.revision)
    assert await store.get(b) is None
    found = await store.range(harness.root)
    assert (found.revision, list(found.items)) == (second.revision, [await store.get(a)])


async def test_a_key_that_comes_back_is_a_new_key(store: Store, harness: Harness) -> None:
    key = harness.key("a")
    await store.commit(puts={key: b"1"})
    await store.commit(deletes=[key])
    again = await store.commit(puts={key: b"2"})
    assert await store.get(key) == KeyValue(key, b"2", again.revision, again.revision)


async def test_what_changes_nothing_does_not_move_the_revision(store: Store, harness: Harness) -> None:
    before = await store.commit(puts={harness.key("a"): b"1"})
    for result in (
        await store.commit(),
        await store.commit(deletes=[harness.key("absent"), harness.key("absent too")]),
        await store.commit([Condition(harness.key("a"), before.revision)]),
    ):
        assert (result.succeeded, result.revision) == (True, before.revision)
    assert (await store.range(harness.root)).revision == before.revision


async def test_writing_the_same_value_again_is_a_change(store: Store, harness: Harness) -> None:
    first = await store.commit(puts={harness.key("a"): b"1"})
    second = await store.commit(puts={harness.key("a"): b"1"})
    assert second.revision == first.revision + 1


async def test_values_and_keys_are_bytes(store: Store, harness: Harness) -> None:
    puts = {harness.root + bytes([0, 255, each]): bytes(range(each)) for each in range(256)}
    await store.commit(puts=puts)
    assert {item.key: item.value for item in (await store.range(harness.root)).items} == puts


async def test_a_range_is_in_byte_order_and_ends_with_its_prefix(store: Store, harness: Harness) -> None:
    inside = [b"a", b"a\x00", b"a\xff", b"a\xff\xff", b"aa", b"a/b"]
    outside = [b"b", b"\x60", b"A"]
    await store.commit(puts={harness.root + name: b"" for name in (*inside, *outside)})
    found = [item.key[len(harness.root) :] for item in (await store.range(harness.root + b"a")).items]
    assert found == sorted(inside)
    found = [item.key[len(harness.root) :] for item in (await store.range(harness.root + b"a\xff")).items]
    assert found == [b"a\xff", b"a\xff\xff"]


async def test_a_range_of_many_keys_is_whole_and_of_one_revision(store: Store, harness: Harness) -> None:
    """More than any page, while a writer keeps changing what is read."""
    count = 2500
    names = [harness.key(f"{index:05d}") for index in range(count)]
    for start in range(0, count, 1000):
        await store.commit(puts=dict.fromkeys(names[start : start + 1000], b"0"))
    writing = True

    async def keep_writing() -> None:
        round_ = 0
        while writing:
            round_ += 1
            await store.commit(puts={names[0]: b"%d" % round_, names[-1]: b"%d" % round_})

    writer = asyncio.create_task(keep_writing())
    for _ in range(5):
        found = await store.range(harness.root)
        assert [item.key for item in found.items] == names
        assert found.items[0].value == found.items[-1].value
        assert max(item.mod_revision for item in found.items) == found.revision
    writing = False
    await writer


async def test_conditions_on_revision_and_absence(store: Store, harness: Harness) -> None:
    a, b = harness.key("a"), harness.key("b")
    first = await store.commit([Condition(a, 0)], {a: b"1"})
    assert first.succeeded
    refused = await store.commit([Condition(a, 0)], {a: b"2", b: b"2"})
    assert (refused.succeeded, refused.revision) == (False, first.revision)
    assert await store.get(b) is None
    refused = await store.commit([Condition(a, first.revision), Condition(b, first.revision)], {a: b"2"}, [b])
    assert not refused.succeeded
    second = await store.commit([Condition(a, first.revision), Condition(b, 0)], {a: b"2"})
    assert second.succeeded
    await store.commit(deletes=[a])
    assert not (await store.commit([Condition(a, second.revision)], {a: b"3"})).succeeded
    assert (await store.commit([Condition(a, 0)], {a: b"3"})).succeeded


async def test_increments_under_a_condition_are_never_lost(store: Store, harness: Harness) -> None:
    key, tasks, rounds = harness.key("counter"), 8, 10

    async def increment() -> None:
        for _ in range(rounds):
            while True:
                found = await store.get(key)
                value, revision = (int(found.value), found.mod_revision) if found else (0, 0)
                if (await store.commit([Condition(key, revision)], {key: b"%d" % (value + 1)})).succeeded:
                    break

    await asyncio.gather(*(increment() for _ in range(tasks)))
    found = await store.get(key)
    assert found is not None
    assert int(found.value) == tasks * rounds


async def test_concurrent_commits_have_revisions_of_their_own(store: Store, harness: Harness) -> None:
    before = (await store.range(harness.root)).revision
    results = await asyncio.gather(*(store.commit(puts={harness.key(each): b"x"}) for each in range(200)))
    assert sorted(result.revision for result in results) == list(range(before + 1, before + 201))


@pytest.mark.parametrize("bad", ["both", "empty", "reserved", "operations", "conditions", "bytes"])
async def test_a_commit_that_cannot_be_is_refused_with_a_next_step(store: Store, harness: Harness, bad: str) -> None:
    too_many = [harness.key(each) for each in range(MAX_OPERATIONS + 1)]
    key = harness.key("a")
    arguments: dict[str, dict[str, Any]] = {
        "both": {"puts": {key: b"1"}, "deletes": [key]},
        "empty": {"puts": {b"": b"1"}},
        "reserved": {"puts": {b"\0x": b"1"}},
        "operations": {"puts": dict.fromkeys(too_many, b"")},
        "conditions": {"conditions": [Condition(name, 0) for name in too_many], "puts": {key: b""}},
        "bytes": {"puts": {key: bytes(MAX_COMMIT_BYTES + 1)}},
    }
    with pytest.raises((BadInput, TooLarge)) as caught:
        await store.commit(**arguments[bad])
    assert isinstance(caught.value, KokirisError)
    assert caught.value.next_step
    assert list((await store.range(harness.root)).items) == []


async def test_a_commit_at_the_limits_arrives_as_one_batch(store: Store, harness: Harness) -> None:
    size = MAX_COMMIT_BYTES // MAX_OPERATIONS - 100
    puts = {harness.key(f"{each:05d}"): bytes(size) for each in range(MAX_OPERATIONS)}
    start = (await store.range(harness.root)).revision + 1
    result = await store.commit([Condition(key, 0) for key in puts], puts)
    assert result.succeeded
    live, again = await follow(store, harness.root, start, result.revision), await store.range(harness.root)
    (batch,) = [each for each in live if each.events]
    assert [event.key for event in batch.events] == sorted(puts)
    assert len(again.items) == len(puts)
    deleted = await store.commit(deletes=list(puts))
    (batch,) = [each for each in await follow(store, harness.root, deleted.revision, deleted.revision) if each.events]
    assert [(event.key, event.value) for event in batch.events] == [(key, None) for key in sorted(puts)]


async def test_a_duplicate_delete_is_one(store: Store, harness: Harness) -> None:
    key = harness.key("a")
    await store.commit(puts={key: b"1"})
    result = await store.commit(deletes=[key, key])
    (batch,) = await follow(store, harness.root, result.revision, result.revision)
    assert list(batch.events) == [Event(key, None, 0, result.revision)]
