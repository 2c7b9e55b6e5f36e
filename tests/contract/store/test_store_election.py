"""Leader election: one at a time, a deposed one is fenced off, and the lead moves on. On both stores."""

from __future__ import annotations

import asyncio

import pytest

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import Condition, Lease, Store
from kokiris.store.election import Leadership
from tests.contract.store.harness import DEADLINE_S, Harness, wait_until

pytestmark = pytest.mark.engine


class Candidate:
    """A server process, in so far as it campaigns."""

    def __init__(self, store: Store, harness: Harness, name: str, ttl_s: float = 2.0) -> None:
        self.leadership = Leadership(store, harness.key("leader"), name, ttl_s)
        self.fences: list[Condition] = []
        self.lost = 0

    async def elected(self, fence: Condition) -> None:
        assert self.leadership.is_leader
        self.fences.append(fence)

    async def deposed(self) -> None:
        assert not self.leadership.is_leader
        self.lost += 1

    def start(self) -> asyncio.Task[None]:
        return self.leadership.start(self.elected, self.deposed)


async def test_one_leads_and_the_next_takes_over_at_once(store: Store, harness: Harness) -> None:
    candidates = [Candidate(store, harness, f"node{each}", ttl_s=60) for each in range(3)]
    for candidate in candidates:
        candidate.start()
    former: list[Condition] = []
    remaining = list(candidates)
    while remaining:
        await wait_until(lambda: any(each.leadership.is_leader for each in remaining))
        (leader,) = [each for each in remaining if each.leadership.is_leader]
        result = await store.commit([leader.leadership.fence], {harness.key("by leader"): b"x"})
        assert result.succeeded
        for fence in former:
            assert not (await store.commit([fence], {harness.key("by leader"): b"stale"})).succeeded
        former.append(leader.leadership.fence)
        await asyncio.wait_for(leader.leadership.stop(), DEADLINE_S)
        assert (len(leader.fences), leader.lost) == (1, 1)
        remaining.remove(leader)
    assert await store.get(harness.key("leader")) is None


async def test_a_leader_that_loses_its_key_is_deposed_and_campaigns_again(store: Store, harness: Harness) -> None:
    candidate = Candidate(store, harness, "node1", ttl_s=60)
    candidate.start()
    await wait_until(lambda: candidate.leadership.is_leader)
    fence = candidate.leadership.fence
    await store.commit(deletes=[harness.key("leader")])
    assert not (await store.commit([fence], {harness.key("x"): b"stale"})).succeeded
    await wait_until(lambda: len(candidate.fences) == 2)
    assert candidate.lost == 1
    assert (await store.commit([candidate.leadership.fence], {harness.key("x"): b"fresh"})).succeeded
    await candidate.leadership.stop()
    with pytest.raises(StoreError, match="not the leader"):
        _ = candidate.leadership.fence


class HungLease:
    """A lease whose renewals never come back, as in a process that hangs."""

    def __init__(self, lease: Lease) -> None:
        self.lease_id, self.ttl_s, self.revoke = lease.lease_id, lease.ttl_s, lease.revoke

    async def keep_alive(self) -> bool:
        await asyncio.sleep(10 * DEADLINE_S)
        return True


async def test_a_hung_leader_is_replaced(store: Store, harness: Harness) -> None:
    """It does not renew: another is elected once its lease has run out, and the hung one learns of it."""
    hung, other = Candidate(store, harness, "hung", ttl_s=1), Candidate(store, harness, "other", ttl_s=1)
    real_lease = store.lease

    async def lease(ttl_s: float) -> Lease:
        return HungLease(await real_lease(ttl_s))

    store.lease = lease
    hung.start()
    await wait_until(lambda: hung.leadership.is_leader)
    store.lease = real_lease
    fence = hung.leadership.fence
    other.start()
    await wait_until(lambda: other.leadership.is_leader)
    assert not (await store.commit([fence], {harness.key("x"): b"stale"})).succeeded
    await wait_until(lambda: hung.lost >= 1)
    await hung.leadership.stop()
    await other.leadership.stop()


async def test_a_restarted_process_takes_its_own_lead_back_at_once(store: Store, harness: Harness) -> None:
    lease = await store.lease(600)
    former = await store.commit(puts={harness.key("leader"): b"node1"}, lease=lease)  # left by a killed process
    same, another = Candidate(store, harness, "node1", ttl_s=60), Candidate(store, harness, "node2", ttl_s=60)
    another.start()
    same.start()
    await wait_until(lambda: same.leadership.is_leader)
    assert not another.leadership.is_leader
    stale = Condition(harness.key("leader"), former.revision)
    assert not (await store.commit([stale], {harness.key("x"): b"stale"})).succeeded
    await lease.revoke()  # the old lease no longer holds the key
    assert (await store.commit([same.leadership.fence], {harness.key("x"): b"fresh"})).succeeded
    await same.leadership.stop()
    await wait_until(lambda: another.leadership.is_leader)
    await another.leadership.stop()


async def test_a_callback_that_raises_ends_the_campaign(store: Store, harness: Harness) -> None:
    leadership = Leadership(store, harness.key("leader"), "node1", 60)

    async def broken(fence: Condition) -> None:
        raise RuntimeError("a defect")

    lost: list[bool] = []

    async def deposed() -> None:
        lost.append(leadership.is_leader)

    with pytest.raises(RuntimeError, match="a defect"):
        await asyncio.wait_for(leadership.start(broken, deposed), DEADLINE_S)
    assert lost == [False]
    assert await store.get(harness.key("leader")) is None, "the lead was given back"
