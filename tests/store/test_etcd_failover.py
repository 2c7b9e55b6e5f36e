"""Several members, one of which hangs (SIGSTOP) or dies: writes go on elsewhere, watches miss nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import Batch
from kokiris.store.etcd import endpoints
from kokiris.store.etcd.store import EtcdStore
from kokiris.store.follow import Follower
from tests.engines.certificates import make_certificates
from tests.engines.etcd import Etcd, start_etcd

pytestmark = pytest.mark.engine

DEADLINE_S = 90.0
ROOT = b"/failover/"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    made = start_etcd(tmp_path_factory.mktemp("cluster"), 3)
    yield made
    made.close()


async def _write_on(store: EtcdStore, acknowledged: dict[int, bytes], unknown: set[bytes], root: bytes) -> None:
    """One commit after the other, until cancelled. `unknown`: begun and not (yet) acknowledged."""
    number = 0
    while True:
        number += 1
        key = root + str(number).encode()
        unknown.add(key)
        with contextlib.suppress(StoreError):
            acknowledged[(await store.commit(puts={key: b"x"})).revision] = key
            unknown.discard(key)
        await asyncio.sleep(0.01)


async def _commit(store: EtcdStore, key: bytes) -> int:
    """Its revision. Members that were away may elect once more after they are healthy: then it is sent again."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            return (await store.commit(puts={key: b"x"})).revision
        except StoreError:
            assert time.monotonic() < end, "no commit is taken any more"


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_the_member_in_use_is_lost(cluster: Etcd, how: signal.Signals) -> None:
    store = await EtcdStore.open(cluster.endpoints, tls=cluster.tls)
    root = ROOT + how.name.encode() + b"/"  # what the member of another test still had in hand is not ours
    seen: list[Batch] = []
    follower = Follower(store, root, lambda found: None, lambda revision, events: seen.append(Batch(revision, events)))
    await follower.start()
    acknowledged: dict[int, bytes] = {}
    unknown: set[bytes] = set()
    writing = asyncio.create_task(_write_on(store, acknowledged, unknown, root))
    in_use = next(member for member in cluster.members if member.endpoint == store.endpoint)
    try:
        await _until(lambda: len(acknowledged) >= 20)
        in_use.send(how)
        count = len(acknowledged)
        await _until(lambda: len(acknowledged) >= count + 50)  # while the member is still lost
        await asyncio.wait_for(follower.wait_for(max(acknowledged)), DEADLINE_S)
        assert store.endpoint != in_use.endpoint
    finally:
        in_use.send(signal.SIGCONT)
        if how == signal.SIGKILL:
            in_use.kill()
            in_use.start()
        await asyncio.to_thread(cluster.wait_healthy)
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
    last = await _commit(store, root + b"last")
    await asyncio.wait_for(follower.wait_for(last), DEADLINE_S)
    told = [(batch.revision, event) for batch in seen if batch.revision <= last for event in batch.events]
    revisions = [revision for revision, _ in told]
    assert revisions == sorted(set(revisions)), "each commit once, in order"
    events = {event.key: event for _, event in told}
    kept = [item for item in (await store.range(root)).items if item.mod_revision <= last]
    assert {item.key: item.mod_revision for item in kept} == {key: event.mod_revision for key, event in events.items()}
    assert {revision: events[key].mod_revision for revision, key in acknowledged.items()} == {
        revision: revision for revision in acknowledged
    }
    assert events.keys() <= {*acknowledged.values(), *unknown, root + b"last"}
    await follower.stop()
    await store.close()


async def test_no_member_answers(cluster: Etcd) -> None:
    """A clear error instead of waiting for ever; afterwards the same store works again."""
    store = await EtcdStore.open(cluster.endpoints, tls=cluster.tls)
    for member in cluster.members:
        member.send(signal.SIGSTOP)
    try:
        calls = (store.get(b"/a"), store.commit(puts={b"/a": b"x"}), store.lease(5))
        errors = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), DEADLINE_S)
        assert [type(error) for error in errors] == [StoreError] * 3
    finally:
        for member in cluster.members:
            member.send(signal.SIGCONT)
    await asyncio.to_thread(cluster.wait_healthy)
    assert await _commit(store, b"/a")
    await store.close()


async def test_a_certificate_of_another_authority(
    cluster: Etcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "TOTAL_DEADLINE_S", 0.5)
    other = make_certificates(tmp_path)
    for tls in ((other.ca, *cluster.tls[1:]), (cluster.tls[0], other.certificate, other.key), None):
        with pytest.raises(StoreError, match="does not answer") as caught:
            await EtcdStore.open(cluster.endpoints[:1], tls=tls)
        assert cluster.endpoints[0] in caught.value.message


async def _until(holding: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not holding():
        assert time.monotonic() < end, "the condition never held"
        await asyncio.sleep(0.02)
