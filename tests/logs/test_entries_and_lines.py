"""Lines of output: joined into entries, parsed into fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.logs.collect.access_lines import document_of_access
from kokiris.logs.entries import MAX_LINES, EntryJoiner
from kokiris.logs.index.retention import Day, Limits, expired, refusal
from kokiris.logs.levels import canonical_level, detect_level
from kokiris.logs.lines import document_of
from kokiris.logs.model import Origin
from kokiris.logs.times import document_time_us, iso, query_time_us, zone_of

READ_US = 1_795_434_620_000_000

PYTHON = """Traceback (most recent call last):
  File "app.py", line 3, in <module>
    main()
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "app.py", line 5, in <module>
ValueError: y"""
JAVA = """2026-11-23 10:00:00 ERROR o.e.Web - failed
java.lang.IllegalStateException: no
\tat org.example.Web.run(Web.java:5)
\t... 12 more
Caused by: java.io.IOException: disk
\tat org.example.Disk.read(Disk.java:9)"""
GO = """panic: runtime error: index out of range

goroutine 1 [running]:
main.main()
\t/app/main.go:5 +0x1d
exit status 2"""
GO_SERVER = """2026/11/23 10:00:00 http: panic serving 10.0.0.7:51234: no such item
goroutine 18 [running]:
net/http.(*conn).serve.func1()
\t/usr/lib/go/src/net/http/server.go:1850 +0xbf"""
PHP = """PHP Fatal error:  Uncaught Exception: x in /a.php:3
Stack trace:
#0 {main}
  thrown in /a.php on line 3"""


def entries_of(lines: list[str]) -> list[str]:
    joiner, found = EntryJoiner(), []
    for number, line in enumerate(lines):
        ended = joiner.add(line, number)
        found += [ended.text] if ended is not None else []
    last = joiner.flush()
    return [*found, *([last.text] if last is not None else [])]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (PYTHON, 1),
        (GO, 1),
        (PHP, 1),
        (JAVA, 1),
        (f"INFO all is well\n{JAVA.partition(chr(10))[2]}", 2),  # no line of this logger told of the failure
        (GO_SERVER, 1),
        ("WARN slow\norg.example.Web starts", 2),
        ("one\ntwo\nthree", 3),
        ("one\n  more\nthree", 2),
        ('{"a":1}\n{"a":2}', 2),
        ("", 1),
        (f"ERROR x\n{PYTHON}\nINFO next: line", 2),
        ("2026-11-23 10:00:00 INFO a\n2026-11-23 10:00:01 INFO b", 2),
    ],
)
def test_traces_are_one_entry(text: str, count: int) -> None:
    found = entries_of(text.split("\n"))
    assert len(found) == count, found
    assert "\n".join(found) == text


@given(
    st.lists(
        st.text(alphabet="abc {}:\tT0", max_size=12) | st.sampled_from(PYTHON.split("\n") + GO.split("\n")), max_size=60
    )
)
def test_joining_keeps_every_line(lines: list[str]) -> None:
    assert "\n".join(entries_of(lines)).split("\n") == (lines or [""])


def test_an_endless_trace_is_cut() -> None:
    assert max(len(one.split("\n")) for one in entries_of(["head", *["  at x"] * 2000])) == MAX_LINES


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2026-11-23 10:00:00 ERROR x", "error"),
        ("[WARN] x", "warn"),
        ("E1123 10:00:00.0 1 a.go:1] x", "error"),
        ('time=x level=warning msg="y"', "warn"),
        ("Error: x", "error"),
        ("no terror here", ""),
        ("information about errors", ""),
        ("<info> ok", "info"),
        ("x" * 200 + " ERROR", ""),
    ],
)
def test_levels_in_lines(line: str, level: str) -> None:
    assert detect_level(line) == level


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (PYTHON, "error"),
        (JAVA.partition("\n")[2], "error"),
        ("java.lang.Error: no frames", ""),
        ("INFO x\n  more", "info"),
        ("one\n  two", ""),
    ],
)
def test_a_trace_is_an_error_unless_its_line_says_otherwise(text: str, level: str) -> None:
    assert document_of(text, Origin(), READ_US).get("level", "") == level


@pytest.mark.parametrize(
    ("given_level", "level"), [("WARNING", "warn"), (50, "error"), ("odd", "odd"), (None, ""), ([], "")]
)
def test_levels_in_fields(given_level: Any, level: str) -> None:
    assert canonical_level(given_level) == level


def test_a_json_line_becomes_fields() -> None:
    origin = Origin(infra="rec1", job="shop", stream="stdout")
    line = '{"ts":"2026-11-23T10:00:00.5Z","severity":"CRIT","msg":"m","user":{"id":7},"job":"forged","node":1}'
    assert document_of(line, origin, READ_US) == {
        "@timestamp": "2026-11-23T10:00:00.500000Z",
        "infra": "rec1",
        "job": "shop",
        "stream": "stdout",
        "level": "fatal",
        "user": {"id": 7},
        "app": {"job": "forged", "node": 1},
        "message": "m",
    }


@given(st.text(max_size=60) | st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)).map(str))
def test_every_line_becomes_a_document(line: str) -> None:
    document = document_of(line, Origin(job="shop"), READ_US)
    assert document["job"] == "shop"
    assert isinstance(document["message"], str)


def test_unbelievable_times_are_not_believed() -> None:
    document = document_of('{"time":"2020-01-01T00:00:00Z","msg":"m"}', Origin(), READ_US)
    assert document["@timestamp"] == iso(READ_US)
    assert document["time"] == "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("value", "time_us"),
    [
        ("2026-11-23T10:10:20Z", 1_795_428_620_000_000),
        ("2026-11-23T11:10:20.5+01:00", 1_795_428_620_500_000),
        ("2026-11-23 10:10:20,123", 1_795_428_620_123_000),
        (1_795_428_620, 1_795_428_620_000_000),
        (1_795_428_620.25, 1_795_428_620_250_000),
        (1_795_428_620_123, 1_795_428_620_123_000),
        ("1795428620123456789", 1_795_428_620_123_456),
    ],
)
def test_document_times(value: Any, time_us: int) -> None:
    assert document_time_us(value) == time_us


@pytest.mark.parametrize(
    "value", ["soon", True, {}, "2026-13-01T00:00:00Z", -5, 1e300, float("nan"), "9999-01-01T00:00:00Z"]
)
def test_document_times_that_are_none(value: Any) -> None:
    with pytest.raises(BadInput, match="failed to parse date"):
        document_time_us(value)


@pytest.mark.parametrize(
    ("text", "round_up", "meant"),
    [
        ("now", False, "2026-11-23T11:50:20.000000Z"),
        ("now-1h/d", False, "2026-11-23T00:00:00.000000Z"),
        ("now/d", True, "2026-11-23T23:59:59.999999Z"),
        ("2026-01-31||+1M", False, "2026-02-28T00:00:00.000000Z"),
        ("2026-02", True, "2026-02-28T23:59:59.999999Z"),
        ("now/w", False, "2026-11-23T00:00:00.000000Z"),
    ],
)
def test_date_math(text: str, round_up: bool, meant: str) -> None:
    assert iso(query_time_us(text, now_us=READ_US, round_up=round_up)) == meant


def test_date_math_in_a_zone_with_summer_time() -> None:
    paris = zone_of("Europe/Paris")
    start = query_time_us("2026-03-29||/d", now_us=READ_US, round_up=False, zone=paris)
    end = query_time_us("2026-03-30||/d", now_us=READ_US, round_up=False, zone=paris)
    assert end - start == 23 * 3_600_000_000


def test_access_lines() -> None:
    line = (
        b"1795434649 007 77 10.0.0.9 503 12 5 1 2 -1 4 9 -- web shop@consul "
        b"_nomad-task-4c1d0000-1111-2222-3333-444455556666-web GET https://x/a shop.example"
    )
    document = document_of_access(line, READ_US, infra="rec1", node="n1")
    assert document is not None
    assert document["@timestamp"] == "2026-11-23T11:50:49.007000Z"
    assert document["alloc"] == "4c1d0000-1111-2222-3333-444455556666"
    assert (document["level"], document["path"], document["status"]) == ("error", "/a", 503)
    assert document["http"]["timings_ms"] == {"tq": 1, "tw": 2, "tr": 4}
    assert document["message"] == "GET shop.example/a 503 9ms"
    strange = document_of_access(line + b' a\xff"\t{', READ_US, infra="rec1", node="n1")
    assert strange is not None
    assert (strange["path"], strange["host"]) == ("/a", 'shop.example a\ufffd" {')
    assert document_of_access(line.rpartition(b" ")[0], READ_US, infra="rec1", node="n1") is None


@given(st.binary(max_size=80))
def test_no_line_is_too_strange(data: bytes) -> None:
    document_of_access(data, READ_US, infra="rec1", node="n1")


def test_retention() -> None:
    days = [Day(f"2026-11-{number:02}", 100) for number in (17, 18, 19, 20, 21, 22, 23)]
    assert expired(days, "2026-11-23", Limits(days=5)) == ["2026-11-17", "2026-11-18"]
    assert expired(days, "2026-11-23", Limits(days=30, size_bytes=250)) == [day.name for day in days[:5]]
    assert expired(days[-1:], "2026-11-23", Limits(days=1, size_bytes=1)) == []


def test_the_disk_guard_says_why() -> None:
    gigabyte = 1 << 30
    assert refusal(free_bytes=100 * gigabyte, disk_bytes=200 * gigabyte, limits=Limits()) == ""
    assert "disk almost full: 100 MB free" in refusal(free_bytes=100 << 20, disk_bytes=gigabyte, limits=Limits())
    limits = Limits(size_bytes=10)
    assert "logs.retention_bytes" in refusal(
        free_bytes=gigabyte * 9, disk_bytes=gigabyte * 9, limits=limits, today_bytes=11
    )
