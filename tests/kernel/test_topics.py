"""Waiting on topics: woken by one's own, not by others', never missed, nothing left behind."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.topics import Topics

JOB, NODE = ("job", "default", "web"), ("node", "n1")
LONG_S = 60.0


def test_the_index_is_the_newest_and_never_below_one() -> None:
    topics = Topics()
    assert topics.index(JOB) == 1
    assert topics.index() == 1
    topics.touch([JOB], 7)
    topics.touch([NODE], 5)
    assert (topics.index(JOB), topics.index(NODE), topics.index(JOB, NODE)) == (7, 5, 7)
    topics.forget(JOB)
    topics.forget(("never", "there"))
    assert topics.index(JOB, NODE) == 5


def test_a_raised_floor_counts_for_the_unknown() -> None:
    topics = Topics()
    topics.touch([JOB], 3)
    topics.raise_floor(10)
    topics.raise_floor(4)
    assert (topics.index(NODE), topics.index(JOB), topics.index()) == (10, 3, 10)


async def test_a_change_wakes_who_waits_for_it_and_nobody_else() -> None:
    topics = Topics()
    mine = asyncio.create_task(topics.wait([JOB, ("jobs",)], 1, LONG_S))
    other = asyncio.create_task(topics.wait([NODE], 1, LONG_S))
    await asyncio.sleep(0)
    assert topics.waiting() == 2
    topics.touch([JOB], 2)
    await asyncio.wait_for(mine, LONG_S)
    assert not other.done()
    assert topics.waiting() == 1
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert topics.waiting() == 0
    assert topics._waiting == {}


async def test_what_has_changed_already_is_not_waited_for() -> None:
    topics = Topics()
    topics.touch([JOB], 9)
    await asyncio.wait_for(topics.wait([JOB], 8, LONG_S), LONG_S / 2)


async def test_a_wake_up_that_is_not_new_enough_waits_on() -> None:
    topics = Topics()
    waiting = asyncio.create_task(topics.wait([JOB], 5, LONG_S))
    for revision in (3, 4, 5):
        await asyncio.sleep(0)
        topics.touch([JOB], revision)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    topics.touch([JOB], 6)
    await asyncio.wait_for(waiting, LONG_S)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, 0.02])
async def test_the_time_is_over(timeout_s: float) -> None:
    topics = Topics()
    begun = time.monotonic()
    await topics.wait([JOB], 1, timeout_s)
    assert time.monotonic() - begun >= min(timeout_s, 0.019)
    assert topics.waiting() == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), max_size=20))
def test_each_waiter_is_woken_exactly_when_its_index_is_passed(waits: list[tuple[int, int]]) -> None:
    async def run() -> None:
        topics = Topics()
        tasks = [asyncio.create_task(topics.wait([(topic,)], after, LONG_S)) for topic, after in waits]
        for revision in range(2, 10):
            topics.touch([(revision % 4,)], revision)
            for _ in range(6):
                await asyncio.sleep(0)
            for (topic, after), task in zip(waits, tasks, strict=True):
                assert task.done() is (topics.index((topic,)) > after)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert topics.waiting() == 0

    asyncio.run(run())
