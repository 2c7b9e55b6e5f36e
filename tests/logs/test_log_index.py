"""The index: acknowledged is durable, visible soon, removed when it is time, refused before the disk is full."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from kokiris.kernel.errors import Busy
from kokiris.logs.index.log_index import Incoming, LogIndex, day_for
from kokiris.logs.index.retention import Limits
from kokiris.logs.query import tree
from kokiris.logs.search.hits import find
from kokiris.logs.search.request import SearchRequest
from kokiris.logs.times import DAY_US, day_of, iso
from tests.logs.killed import copy_as_killed


def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LogIndex]:
    made = LogIndex(tmp_path / "index", Limits(days=3, min_free_bytes=1), commit_every_s=0.05)
    made.start()
    yield made
    made.stop()


def sources(index: LogIndex, query: tree.Query | None = None) -> list[dict[str, object]]:
    hits, total = find(index.days(), SearchRequest(query=query or tree.All(), size=1_000_000), now_us())
    assert total == len(hits)
    return [hit.source() for hit in hits]


@pytest.mark.parametrize("turn", range(3))
def test_kill_during_ingest_loses_nothing_acknowledged(tmp_path: Path, turn: int) -> None:
    acknowledged = 0
    writer = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("log_writer.py")), str(tmp_path / "index")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        assert writer.stdout is not None
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged >= 400 + 700 * turn:
                writer.send_signal(signal.SIGKILL)
                break
        acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().split("\n")[:-1] if line)])
    finally:
        writer.kill()
        writer.wait()
    again = LogIndex(tmp_path / "index", Limits(min_free_bytes=1))
    again.start()
    try:
        counted = Counter(one["n"] for one in sources(again))
    finally:
        again.stop()
    assert all(counted[number] == 1 for number in range(acknowledged))
    assert max(counted.values()) == 1


def test_a_torn_journal_line_is_dropped(tmp_path: Path) -> None:
    made = LogIndex(tmp_path / "index", Limits(min_free_bytes=1), commit_every_s=3600)
    made.start()
    made.take([Incoming({"message": "whole"})])
    (journal,) = [path for path in (tmp_path / "index" / "journal").iterdir() if path.stat().st_size]
    with journal.open("ab") as file:
        file.write(b'[99,1,"",{"message":"cut of')
    copy = tmp_path / "copy"
    copy_as_killed(tmp_path / "index", copy)
    again = LogIndex(copy, Limits(min_free_bytes=1))
    again.start()
    assert [one["message"] for one in sources(again)] == ["whole"]
    again.stop()
    made.stop()


def test_order_and_ids(index: LogIndex) -> None:
    at = now_us()
    taken = index.take([Incoming({"@timestamp": iso(at + step), "message": str(step)}) for step in (5, 1, 3, 3)])
    assert index.refresh()
    assert [one["message"] for one in sources(index)] == ["5", "3", "3", "1"]
    assert [one["message"] for one in sources(index, tree.Ids((taken[0].identifier,)))] == ["5"]


def test_own_ids_are_kept_once(index: LogIndex) -> None:
    first = index.take([Incoming({"message": "a"}, "x"), Incoming({"message": "b"}, "x")])
    assert [one.duplicate for one in first] == [False, True]
    assert index.refresh()
    assert index.take([Incoming({"message": "c"}, "x")])[0].duplicate
    assert len(sources(index)) == 1


def test_an_id_is_known_on_days_long_past(index: LogIndex, tmp_path: Path) -> None:
    at = now_us()
    old = Incoming({"@timestamp": iso(at - 2 * DAY_US), "message": "of a restart"}, "x")
    index.take([old])
    assert index.refresh()
    index.stop()
    days = tmp_path / "index" / "days"
    (days / day_of(at)).rename(days / day_of(at - 2 * DAY_US))
    again = LogIndex(tmp_path / "index", Limits(days=3, min_free_bytes=1), commit_every_s=0.05)
    again.start()
    again.take([Incoming({"@timestamp": iso(at - days * DAY_US), "message": "newer"}) for days in (0, 1)])
    assert again.refresh()
    assert again.take([Incoming({"message": "newest"}, "y"), old])[1].duplicate
    again.stop()


def test_late_entries_go_to_the_day_they_came(index: LogIndex) -> None:
    at = now_us()
    index.take([Incoming({"@timestamp": iso(at - days * DAY_US), "message": f"{days} days old"}) for days in range(6)])
    assert index.refresh()
    assert {day.name for day in index.days()} == {day_of(at), day_of(at - DAY_US)}
    assert [one["message"] for one in sources(index)] == [f"{days} days old" for days in range(6)]
    assert day_for(at + 40 * DAY_US, at) == day_of(at)


def test_expired_days_are_removed(index: LogIndex, tmp_path: Path) -> None:
    index.take([Incoming({"message": "today"})])
    assert index.refresh()
    (today,) = index.days()
    old = tmp_path / "index" / "days" / day_of(now_us() - 5 * DAY_US)
    index.stop()
    shutil.copytree(today.folder, old)
    again = LogIndex(tmp_path / "index", Limits(days=3, min_free_bytes=1), commit_every_s=0.05)
    again.start()
    deadline = time.monotonic() + 60
    while old.exists() and time.monotonic() < deadline:
        again.take([Incoming({"message": "more"})])
        again.refresh()
    again.stop()
    assert not old.exists()
    assert today.folder.exists()


def test_a_full_disk_refuses_and_says_so(index: LogIndex) -> None:
    index.take([Incoming({"message": "before"})])
    index.limits = Limits(min_free_bytes=1 << 60)
    assert "disk almost full" in index.warning()
    with pytest.raises(Busy, match="disk almost full"):
        index.take([Incoming({"message": "refused"})])
    index.limits = Limits(min_free_bytes=1)
    assert index.warning() == ""
    index.take([Incoming({"message": "after"})])
    assert index.refresh()
    assert sorted(str(one["message"]) for one in sources(index)) == ["after", "before"]


def test_paths_beyond_the_limit_are_found_by_words(index: LogIndex) -> None:
    for part in range(4):
        document = {f"field{part}_{number}": f"value{part}x{number}" for number in range(300)}
        index.take([Incoming(document)])
    assert index.refresh()
    assert len(sources(index, tree.Words("", "value3x299"))) == 1
    assert len(sources(index, tree.Term("field0_5", "value0x5"))) == 1
    assert len(index.days()[0].catalogue.fields) == 1000


def test_journal_is_emptied_by_commits(index: LogIndex, tmp_path: Path) -> None:
    for _ in range(5):
        index.take([Incoming({"message": "x" * 1000})])
        assert index.refresh()
    journal = tmp_path / "index" / "journal"
    assert sum(path.stat().st_size for path in journal.iterdir()) == 0


def test_refresh_does_not_wait_for_what_comes_later(index: LogIndex) -> None:
    """Under steady ingest there is always something that is not visible yet."""
    done = threading.Event()

    def ingest() -> None:
        while not done.is_set():
            index.take([Incoming({"message": "later"})] * 20)

    writer = threading.Thread(target=ingest)
    writer.start()
    try:
        index.take([Incoming({"message": "first"})])
        assert index.refresh(timeout_s=60)
        assert len(sources(index, tree.Words("message", "first"))) == 1
    finally:
        done.set()
        writer.join()
