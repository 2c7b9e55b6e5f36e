"""kill -9 at random moments: whatever was acknowledged is there afterwards, and the revision never goes back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import Batch, Range, Store
from kokiris.store.etcd.store import EtcdStore
from kokiris.store.sqlite.store import SqliteStore
from tests.contract.store import writing_process
from tests.contract.store.harness import DEADLINE_S, check_range, check_stream, follow, replay, wait_until
from tests.engines.etcd import Etcd, start_etcd

pytestmark = pytest.mark.engine

ROUNDS = 8
ROOT = b"/kill/"


def check_acknowledged(found: Range, acknowledged: dict[int, int], newest_seen: int) -> None:
    """`acknowledged`: number → revision. Both keys of each are there, at that revision; no commit is there by half."""
    assert found.revision >= newest_seen
    revisions: dict[int, set[int]] = {}
    halves: dict[int, int] = {}
    for item in found.items:
        number = int(item.value)
        revisions.setdefault(number, set()).add(item.mod_revision)
        halves[number] = halves.get(number, 0) + 1
    assert {number: revisions.get(number) for number in acknowledged} == {
        number: {revision} for number, revision in acknowledged.items()
    }
    assert set(halves.values()) <= {2}


async def check_watch(store: Store, found: Range) -> None:
    """The history that survived explains the state that survived."""
    batches = await follow(store, ROOT, 2, found.revision)
    check_stream(batches, 2)
    check_range(found, replay(batches)[found.revision])


async def test_sqlite_survives_the_death_of_its_process(tmp_path: Path) -> None:
    source, acknowledged, newest = random.Random(1), {}, 0  # noqa: S311 - reproducible
    for _ in range(ROUNDS):
        first = str(max(acknowledged, default=0) + 1000)
        arguments = (writing_process.__file__, str(tmp_path), ROOT.hex(), first)
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        try:
            assert process.stdout is not None
            opened = await asyncio.wait_for(process.stdout.readline(), DEADLINE_S)
            assert int(opened.split()[1]) >= newest
            lines = [await process.stdout.readline() for _ in range(source.randrange(1, 400))]
        finally:
            process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
        for line in (*lines, *rest):
            if line.endswith(b"\n"):
                number, revision = map(int, line.split())
                acknowledged[number] = revision
                newest = max(newest, revision)
        store = await SqliteStore.open(tmp_path)  # the lock went with the process
        found = await store.range(ROOT)
        check_acknowledged(found, acknowledged, newest)
        await check_watch(store, found)
        newest = found.revision
        await store.close()


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[Etcd]:
    cluster = start_etcd(tmp_path / "etcd")
    yield cluster
    cluster.close()


async def test_etcd_survives_its_own_death(own_etcd: Etcd) -> None:
    """The client stays: it must come back by itself, and so must a watch that runs all the time."""
    source = random.Random(2)  # noqa: S311 - reproducible
    acknowledged: dict[int, int] = {}
    store = await EtcdStore.open(own_etcd.endpoints, tls=own_etcd.tls)
    watched: list[Batch] = []
    watching = asyncio.create_task(_collect(store, watched))
    writing = asyncio.create_task(_write_on(store, acknowledged))
    newest = 0
    for _ in range(ROUNDS // 2):
        count = len(acknowledged)
        await wait_until(lambda count=count: len(acknowledged) > count)
        await asyncio.sleep(source.uniform(0.02, 0.4))
        own_etcd.members[0].kill()
        own_etcd.members[0].start()
        known = dict(acknowledged)
        found = await store.range(ROOT)
        check_acknowledged(found, known, max([newest, *known.values()]))
        newest = found.revision
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    last = await store.commit(puts={ROOT + b"0/a": b"0", ROOT + b"0/b": b"0"})
    await wait_until(lambda: bool(watched) and watched[-1].revision >= last.revision)
    check_stream(watched, 2)
    check_range(await store.range(ROOT), replay(watched)[last.revision])
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await store.close()


async def _collect(store: Store, into: list[Batch]) -> None:
    async for batch in store.watch(ROOT, 2):
        into.append(batch)


async def _write_on(store: Store, acknowledged: dict[int, int]) -> None:
    """One commit after the other; what fails is of unknown fate and not written again."""
    for number in itertools.count(1):
        puts = {ROOT + b"%d/%s" % (number, half): b"%d" % number for half in (b"a", b"b")}
        with contextlib.suppress(StoreError):
            acknowledged[number] = (await store.commit(puts=puts)).revision
