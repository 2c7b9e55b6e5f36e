"""Puts, deletes, check-and-set, locks, and what a task may read."""

from __future__ import annotations

import asyncio

import pytest

from kokiris.kernel.errors import BadInput, TooLarge
from kokiris.variables.model import (
    Variable,
    VariableConflict,
    VariableLock,
    check_not_reserved,
    check_path,
    readable_paths,
)


def variable(path: str = "app/one", lock: VariableLock | None = None, **items: str) -> Variable:
    made = Variable(Namespace="default", Path=path, Items=items)
    if lock is not None:
        made.Lock = lock
    return made


async def test_what_is_put_is_read_and_nothing_of_it_lies_in_clear(shelf, tmp_path):
    put = await shelf.writer.put(variable(password="correct-horse-battery"))
    assert shelf.table.get("default", "app/one").Items == {"password": "correct-horse-battery"}
    assert put.CreateIndex == put.ModifyIndex > 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(b"correct-horse" in path.read_bytes() for path in files)


async def test_a_second_put_keeps_its_creation(shelf):
    first = await shelf.writer.put(variable(a="1"))
    shelf.clock.forward(5)
    second = await shelf.writer.put(variable(a="2"))
    assert (second.CreateIndex, second.CreateTime) == (first.CreateIndex, first.CreateTime)
    assert second.ModifyIndex > first.ModifyIndex
    assert second.ModifyTime > first.ModifyTime


async def test_check_and_set(shelf):
    first = await shelf.writer.put(variable(a="1"), cas=0)
    with pytest.raises(VariableConflict) as caught:
        await shelf.writer.put(variable(a="2"), cas=0)
    assert caught.value.conflict.Items == {"a": "1"}
    await shelf.writer.put(variable(a="2"), cas=first.ModifyIndex)
    with pytest.raises(VariableConflict):
        await shelf.writer.delete("default", "app/one", cas=first.ModifyIndex)
    with pytest.raises(VariableConflict) as caught:
        await shelf.writer.put(variable("absent", a="1"), cas=7)
    assert caught.value.conflict.ModifyIndex == 0


async def test_of_many_creators_one_wins(shelf):
    tries = [shelf.writer.put(variable(by=str(n)), cas=0) for n in range(20)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    won = [one for one in results if isinstance(one, Variable)]
    assert len(won) == 1
    assert shelf.table.get("default", "app/one").Items == won[0].Items


async def test_deleting_twice_is_no_error(shelf):
    await shelf.writer.put(variable(a="1"))
    assert await shelf.writer.delete("default", "app/one") > 0
    assert shelf.table.get("default", "app/one") is None
    await shelf.writer.delete("default", "app/one")


async def test_lists_are_by_prefix_and_in_order(shelf):
    for path in ("b", "a/2", "a/1"):
        await shelf.writer.put(variable(path, x="1"))
    assert [one.Path for one in shelf.table.metadata("default", "")] == ["a/1", "a/2", "b"]
    assert [one.Path for one in shelf.table.metadata("*", "a/")] == ["a/1", "a/2"]
    assert not shelf.table.metadata("other", "")


async def test_a_change_wakes_who_waits_for_it_only(shelf):
    await shelf.writer.put(variable("a", x="1"))
    index = shelf.table.topics.index(("variable", "default", "a"))
    await shelf.writer.put(variable("b", x="1"))
    assert shelf.table.topics.index(("variable", "default", "a")) == index
    await shelf.writer.put(variable("a", x="2"))
    assert shelf.table.topics.index(("variable", "default", "a")) > index


async def test_a_held_variable_is_changed_by_its_holder_only(shelf):
    held = await shelf.writer.acquire(variable(lock=VariableLock(TTL="30s", LockDelay="10s"), a="1"))
    lock_id = held.Lock.ID
    assert lock_id
    assert lock_id not in repr(shelf.table.get("default", "app/one").Lock)
    for attempt in (
        shelf.writer.put(variable(a="2")),
        shelf.writer.delete("default", "app/one"),
        shelf.writer.acquire(variable(a="2")),
        shelf.writer.release("default", "app/one", "another"),
        shelf.writer.renew("default", "app/one", "another"),
    ):
        with pytest.raises(VariableConflict):
            await attempt
    await shelf.writer.put(variable(a="3"), lock_id=lock_id)
    assert shelf.table.get("default", "app/one").Lock
    await shelf.writer.release("default", "app/one", lock_id)
    await shelf.writer.put(variable(a="4"))


async def test_a_lock_ends_without_renewal_and_stays_closed_for_its_delay(shelf):
    held = await shelf.writer.acquire(variable(lock=VariableLock(TTL="30s", LockDelay="10s"), a="1"))
    shelf.clock.forward(29)
    await shelf.writer.renew("default", "app/one", held.Lock.ID)
    shelf.clock.forward(29)
    with pytest.raises(VariableConflict):
        await shelf.writer.put(variable(a="2"))
    shelf.clock.forward(2)
    with pytest.raises(VariableConflict):
        await shelf.writer.renew("default", "app/one", held.Lock.ID)
    with pytest.raises(VariableConflict):
        await shelf.writer.acquire(variable(a="2"))
    shelf.clock.forward(10)
    again = await shelf.writer.acquire(variable(a="2"))
    assert again.Lock.ID != held.Lock.ID


@pytest.mark.parametrize("ttl", ["9s", "25h", "-1s"])
async def test_lock_durations_are_bounded(shelf, ttl):
    with pytest.raises(BadInput):
        await shelf.writer.acquire(variable(lock=VariableLock(TTL=ttl), a="1"))


async def test_sizes_are_bounded(shelf):
    await shelf.writer.put(variable(a="x" * (64 * 1024 - 1)))
    with pytest.raises(TooLarge):
        await shelf.writer.put(variable(a="x" * 64 * 1024))
    with pytest.raises(BadInput, match="Items"):
        await shelf.writer.put(variable())


@pytest.mark.parametrize("path", ["", "a b", "a.b", "x" * 129, "nomad/other", "nomad", "nomad/jobsx", "é"])
def test_paths_that_are_refused(path):
    with pytest.raises(BadInput):
        check_path(path)


@pytest.mark.parametrize(
    "path", ["a", "nomad/jobs", "nomad/jobs/web/g/t", "nomad/job-templates/x", "a/b~c_d-e", "nomads"]
)
def test_paths_that_are_taken(path):
    assert check_path(path) == path


def test_the_platforms_folder_is_its_own():
    with pytest.raises(BadInput):
        check_not_reserved("kokiris/db/shop")
    check_not_reserved("kokirisx/db")


def test_a_task_reads_its_own_and_the_databases_it_names():
    assert readable_paths("web", "front", "php", [None, {"database": "shop, blog"}, {"other": "x"}]) == [
        "nomad/jobs",
        "nomad/jobs/web",
        "nomad/jobs/web/front",
        "nomad/jobs/web/front/php",
        "kokiris/db/blog",
        "kokiris/db/shop",
    ]
    assert not [one for one in readable_paths("web", "g", "t", []) if one.startswith("kokiris")]
