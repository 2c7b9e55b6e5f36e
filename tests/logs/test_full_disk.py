"""When nothing can be written: ingest stops and says so, searching goes on, nothing acknowledged is lost."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kokiris.cli.health import log_search_status
from kokiris.kernel.errors import Busy
from kokiris.logs.index import log_index
from kokiris.logs.index.log_index import Incoming, LogIndex
from kokiris.logs.index.retention import Limits
from kokiris.logs.query import tree
from kokiris.logs.search.hits import find
from kokiris.logs.search.request import SearchRequest
from tests.engines.logs import TOKEN, LogServer
from tests.logs.killed import copy_as_killed

DEADLINE_S = 60.0
GUARD_OFF = Limits(min_free_bytes=1, min_free_share=0.0)


def until(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, but_bytes: int) -> Path:
    """Takes all room but so many bytes."""
    filler = folder / "filler"
    free_bytes = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free_bytes - but_bytes)
    return filler


def numbers(index: LogIndex) -> Counter[int]:
    hits, _ = find(index.days(), SearchRequest(query=tree.All(), size=9000), time.time_ns() // 1000)
    return Counter(hit.source()["n"] for hit in hits)


def some(first: int) -> list[Incoming]:
    return [Incoming({"message": f"entry {number}", "n": number}) for number in range(first, first + 20)]


def test_a_disk_that_is_full_keeps_what_was_acknowledged(small_disk: Path) -> None:
    index = LogIndex(small_disk / "index", GUARD_OFF, commit_every_s=0.05)
    index.start()
    index.take(some(0))
    assert index.refresh()
    filler = fill(small_disk, but_bytes=16 * 1024)  # enough for the journal, not for a commit
    index.take(some(20))
    until(lambda: "cannot be written: No space left" in index.warning(), "the index's thread says nothing")
    with pytest.raises(Busy, match="No space left"):
        index.take(some(1000))
    assert numbers(index) == Counter(range(20))
    copy = small_disk.parent / "copy"
    copy_as_killed(small_disk / "index", copy)
    filler.unlink()
    until(lambda: not index.waiting(), "entries are not indexed once there is room")
    until(lambda: not index.warning(), "the warning stays")
    index.take(some(40))
    assert index.refresh()
    assert numbers(index) == Counter(range(60))
    index.stop()
    killed = LogIndex(copy, GUARD_OFF, commit_every_s=0.05)  # as a kill -9 in that state leaves it
    killed.start()
    assert numbers(killed) == Counter(range(40))
    killed.stop()


def test_a_full_disk_does_not_keep_the_index_from_ending(small_disk: Path) -> None:
    index = LogIndex(small_disk / "index", GUARD_OFF, commit_every_s=0.05)
    index.start()
    index.take(some(0))
    assert index.refresh()
    filler = fill(small_disk, but_bytes=16 * 1024)
    index.take(some(20))
    until(index.warning, "the index's thread says nothing")
    index.stop()
    again = LogIndex(small_disk / "index", GUARD_OFF, commit_every_s=0.05)
    again.start()
    assert numbers(again) == Counter(range(20))
    filler.unlink()
    until(lambda: not again.waiting(), "entries are not indexed once there is room")
    assert numbers(again) == Counter(range(40))
    again.stop()


def test_a_journal_without_room_acknowledges_nothing(small_disk: Path) -> None:
    index = LogIndex(small_disk / "index", GUARD_OFF, commit_every_s=0.05)
    index.start()
    filler = fill(small_disk, but_bytes=0)
    with pytest.raises(Busy):
        index.take(some(0))
    filler.unlink()
    until(lambda: not index.warning(), "the warning stays")
    index.take(some(20))
    assert index.refresh()
    assert numbers(index) == Counter(range(20, 40))
    index.stop()


def test_senders_wait_while_too_much_is_pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_index, "MAX_PENDING_BYTES", 500)
    index = LogIndex(tmp_path / "index", GUARD_OFF, commit_every_s=3600)
    index.start()
    index.take(some(0))
    with pytest.raises(Busy, match="20 entries wait"):
        index.take(some(20))
    index.stop()
    again = LogIndex(tmp_path / "index", GUARD_OFF, commit_every_s=0.05)  # its journal holds nothing that counts
    again.start()
    again.take(some(40))
    again.stop()


async def test_a_refusal_is_seen_everywhere(server: LogServer) -> None:
    assert (await server.call("POST", "/logs/_doc?refresh=true", {"message": "before"}))[0] == 201
    server.index.limits = Limits(min_free_bytes=1 << 60)
    status, health, _ = await server.call("GET", "/_cluster/health")
    assert (status, health["status"]) == (200, "yellow")
    assert "disk almost full" in health["warning"]
    shown = log_search_status(status, json.dumps(health).encode())
    assert shown.startswith("takes no entries: disk almost full")
    status, refused, _ = await server.call("POST", "/_bulk", b'{"create":{}}\n{"message":"refused"}\n')
    assert (status, refused["error"]["type"]) == (429, "es_rejected_execution_exception")
    assert "disk almost full" in refused["error"]["reason"]
    assert (await server.call("GET", "/_count"))[1]["count"] == 1
    async with server.session.post(f"{server.url}/sign-in", data={"token": TOKEN}, allow_redirects=False) as signed:
        cookie = f"kokiris_logs={signed.cookies['kokiris_logs'].value}"
    async with server.session.get(f"{server.url}/", headers={"Accept": "text/html", "Cookie": cookie}) as page:
        assert 'role="alert">disk almost full' in await page.text()
    server.index.limits = GUARD_OFF
    _, health, _ = await server.call("GET", "/_cluster/health")
    assert (health["status"], log_search_status(200, json.dumps(health).encode())) == ("green", "answers")


def test_other_answers_of_the_log_search() -> None:
    assert log_search_status(502, b"") == "answers 502"
    assert log_search_status(200, b"not JSON") == "answers"
