"""What is SQLite's alone: one process, group commit, a full disk, compaction, files nobody else can read."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kokiris.kernel.errors import HostError, StoreError
from kokiris.store.contract import Condition
from kokiris.store.sqlite.store import SqliteStore


async def test_a_second_process_is_told_who_has_it(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    program = f"""
import asyncio, pathlib
from kokiris.kernel.errors import HostError
from kokiris.store.sqlite.store import SqliteStore
try:
    asyncio.run(SqliteStore.open(pathlib.Path({str(tmp_path)!r})))
except HostError as error:
    print(error.message)
"""
    command = [sys.executable, "-c", program]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=True)
    assert f"is in use by process {os.getpid()}" in done.stdout.decode()
    await store.close()
    again = await SqliteStore.open(tmp_path)
    await again.close()


async def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store")
    await store.commit(puts={b"/a": b"secret"})
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "store").iterdir()} == {0o600}
    await store.close()


async def test_the_settings_that_make_it_durable(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    connection = store._writer._connection  # what is tested is that it is set, not what SQLite does with it
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await store.close()


async def test_waiting_commits_share_a_flush(tmp_path: Path) -> None:
    """Also when some of them fail their conditions, and each still has a revision of its own."""
    store = await SqliteStore.open(tmp_path)
    written: list[int] = []
    original = store._writer._write
    store._writer._write = lambda batch: (written.append(len(batch)), original(batch))[1]
    calls = [store.commit([Condition(b"/none", each % 2)], {b"/%d" % each: b"x"}) for each in range(400)]
    results = await asyncio.gather(*calls)
    assert [result.succeeded for result in results] == [each % 2 == 0 for each in range(400)]
    assert [result.revision for result in results if result.succeeded] == list(range(2, 202))
    assert sum(written) == 400
    assert len(written) < 100
    await store.close()


async def test_a_full_disk_fails_the_batch_and_no_more(tmp_path: Path) -> None:
    """The limit is SQLite's own page limit, which ends in the very SQLITE_FULL of a full disk."""
    store = await SqliteStore.open(tmp_path)
    kept = await store.commit(puts={b"/kept": b"1"})
    connection = store._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    watching = asyncio.create_task(_first(store, b"/", kept.revision + 1))
    calls = [store.commit(puts={b"/big/%d" % each: bytes(200_000)}) for each in range(5)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, StoreError) for result in results)
    assert all("disk" in result.next_step for result in results if isinstance(result, StoreError))
    assert (await store.range(b"/")).revision == kept.revision
    connection.execute("PRAGMA max_page_count = 1000000")
    after = await store.commit(puts={b"/after": b"2"})
    assert after.revision == kept.revision + 1
    assert await watching == [b"/after"]
    assert [item.key for item in (await store.range(b"/")).items] == [b"/after", b"/kept"]
    await store.close()


async def _first(store: SqliteStore, prefix: bytes, start: int) -> list[bytes]:
    async for batch in store.watch(prefix, start):
        if batch.events:
            return [event.key for event in batch.events]
    return []


async def test_a_failing_commit_statement_fails_the_batch(tmp_path: Path) -> None:
    """A COMMIT that raises cannot be had from a healthy disk: the connection is replaced by one that refuses it."""
    store = await SqliteStore.open(tmp_path)

    class Refusing:
        def __init__(self, real: sqlite3.Connection) -> None:
            self.real = real
            self.failures = 1

        def execute(self, statement: str, *arguments: object) -> sqlite3.Cursor:
            if statement == "COMMIT" and self.failures:
                self.failures -= 1
                raise sqlite3.OperationalError("disk I/O error")
            return self.real.execute(statement, *arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    store._writer._connection = Refusing(store._writer._connection)
    results = await asyncio.gather(*(store.commit(puts={b"/a": b"1"}) for _ in range(3)), return_exceptions=True)
    failed = [result for result in results if isinstance(result, StoreError)]
    assert failed
    assert "disk I/O error" in failed[0].message
    written = await store.commit(puts={b"/b": b"2"})
    assert written.revision == 2 + 3 - len(failed)
    await store.close()


async def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    result = await store.commit(puts={b"/a": b"1"})
    await store.close()
    store = await SqliteStore.open(tmp_path)
    assert (await store.range(b"/")).revision == result.revision
    assert (await store.commit(puts={b"/a": b"2"})).revision == result.revision + 1
    await store.close()


async def test_compaction_keeps_the_file_small_and_every_live_value(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, keep_revisions=50)
    await store.commit(puts={b"/first": b"stays"})
    for each in range(600):
        await store.commit(
            puts={b"/hot/%d" % (each % 3): bytes(500), b"/new/%d" % each: b""}, deletes=[b"/new/%d" % (each - 1)]
        )
    assert [item.key for item in (await store.range(b"/")).items] == [
        b"/first", b"/hot/0", b"/hot/1", b"/hot/2", b"/new/599"
    ]  # fmt: skip
    (rows,) = store._writer._connection.execute("SELECT count(*) FROM history").fetchone()
    assert rows < 3 * (50 + 2 * 64) + 10
    await store.close()


async def test_a_file_of_another_version_is_not_touched(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await store.close()
    connection = sqlite3.connect(tmp_path / "kokiris.db")
    connection.execute("UPDATE meta SET value = 99 WHERE name = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(HostError, match="format 99"):
        await SqliteStore.open(tmp_path)


async def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "kokiris.db").write_bytes(b"garbage " * 1000)
    for _ in range(2):  # the lock is given back
        with pytest.raises(HostError, match="cannot be opened"):
            await SqliteStore.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot be opened"):
        await SqliteStore.open(tmp_path / "file" / "store")


async def test_a_cancelled_commit_hurts_nobody(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    tasks = [asyncio.create_task(store.commit(puts={b"/%d" % each: b"x"})) for each in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(not isinstance(result, BaseException) for result in results[1::2])
    assert (await store.commit(puts={b"/last": b"x"})).succeeded
    await store.close()
