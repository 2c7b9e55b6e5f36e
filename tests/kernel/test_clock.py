"""RFC 3339 as Go writes it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.clock import ZERO_TIME, parse_rfc3339_ns, rfc3339, wall_ns

YEAR_9999_NS = 253_402_300_799 * 10**9


@pytest.mark.parametrize(
    ("unix_ns", "text"),
    [
        (0, ZERO_TIME),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (10**9, "1970-01-01T00:00:01Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (1_700_000_000_500_000_000, "2023-11-14T22:13:20.5Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_written_and_read_back(unix_ns: int, text: str) -> None:
    assert rfc3339(unix_ns) == text
    assert parse_rfc3339_ns(text) == unix_ns


@pytest.mark.parametrize(
    ("text", "unix_ns"),
    [
        ("", 0),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000 * 10**9),
        ("2023-11-14T21:13:20.25-01:00", 1_700_000_000_250_000_000),
        ("2023-11-14T22:13:20.1234567899Z", 1_700_000_000_123_456_789),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ],
)
def test_other_ways_to_write_it(text: str, unix_ns: int) -> None:
    assert parse_rfc3339_ns(text) == unix_ns


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-13-01T00:00:00Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20.12x4Z",
        "2023-11-14T22:13:20ZZ",
        "2023-11-14T22:13:20+01:00Z",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the documented error
        parse_rfc3339_ns(text)


@given(st.integers(1, YEAR_9999_NS))
def test_every_time_survives_being_written(unix_ns: int) -> None:
    assert parse_rfc3339_ns(rfc3339(unix_ns)) == unix_ns


def test_the_wall_clock_is_in_nanoseconds() -> None:
    before = time.time_ns()
    assert before <= wall_ns() <= time.time_ns()
