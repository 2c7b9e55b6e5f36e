"""Leases: keys that vanish when their holder does, on both stores."""

from __future__ import annotations

import asyncio

import pytest

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import Store
from tests.contract.store.harness import Harness, eventually, follow, revision_of

pytestmark = pytest.mark.engine


async def test_an_expired_lease_takes_its_keys_in_one_commit(store: Store, harness: Harness) -> None:
    names = [harness.key(each) for each in range(3)]
    lease = await store.lease(2)
    assert lease.ttl_s >= 2
    result = await store.commit(puts=dict.fromkeys(names, b"x"), lease=lease)
    batches = await follow(store, harness.root, result.revision + 1, result.revision + 1)
    assert [(event.key, event.value) for event in batches[-1].events] == [(name, None) for name in names]
    assert list((await store.range(harness.root)).items) == []
    assert not await lease.keep_alive()
    with pytest.raises(StoreError, match="expired") as caught:
        await store.commit(puts={names[0]: b"y"}, lease=lease)
    assert caught.value.next_step
    assert await store.get(names[0]) is None


async def test_a_lease_that_is_kept_alive_lives(store: Store, harness: Harness) -> None:
    lease = await store.lease(3)
    await store.commit(puts={harness.key("a"): b"x"}, lease=lease)
    for _ in range(15):  # longer than it lives without
        await asyncio.sleep(0.25)
        assert await lease.keep_alive()
    assert await store.get(harness.key("a")) is not None
    await lease.revoke()


async def test_revoking_deletes_at_once_and_is_idempotent(store: Store, harness: Harness) -> None:
    lease = await store.lease(60)
    result = await store.commit(puts={harness.key("a"): b"x", harness.key("b"): b"x"}, lease=lease)
    await lease.revoke()
    assert list((await store.range(harness.root)).items) == []
    assert await revision_of(store) == result.revision + 1
    await lease.revoke()
    assert await revision_of(store) == result.revision + 1
    assert not await lease.keep_alive()


async def test_a_lease_without_keys_ends_without_a_revision(store: Store) -> None:
    lease = await store.lease(60)
    before = await revision_of(store)
    await lease.revoke()
    assert await revision_of(store) == before


async def test_a_key_belongs_to_the_lease_of_its_last_put(store: Store, harness: Harness) -> None:
    free, moved, kept = harness.key("free"), harness.key("moved"), harness.key("kept")
    first, second = await store.lease(60), await store.lease(60)
    await store.commit(puts={free: b"1", moved: b"1", kept: b"1"}, lease=first)
    await store.commit(puts={free: b"2"})
    await store.commit(puts={moved: b"2"}, lease=second)
    await first.revoke()
    assert [item.key for item in (await store.range(harness.root)).items] == [free, moved]
    await second.revoke()
    assert [item.key for item in (await store.range(harness.root)).items] == [free]


async def test_a_lease_outlives_its_client_but_not_for_ever(store: Store, harness: Harness) -> None:
    lease = await store.lease(4)
    await store.commit(puts={harness.key("a"): b"x"}, lease=lease)
    await store.close()
    again = await harness.open()
    assert await again.get(harness.key("a")) is not None

    async def gone() -> bool:
        return await again.get(harness.key("a")) is None

    await eventually(gone)
