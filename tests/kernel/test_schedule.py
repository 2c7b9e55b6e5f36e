"""Cron's five fields."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.kernel.schedule import is_due, next_after, parse_schedule

NS = 1_000_000_000


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


@pytest.mark.parametrize(
    ("schedule", "after", "wanted"),
    [
        ("30 2 * * *", "2026-01-01T02:29:59", "2026-01-01T02:30"),
        ("30 2 * * *", "2026-01-01T02:30:00", "2026-01-02T02:30"),
        ("*/15 * * * *", "2026-01-01T00:46", "2026-01-01T01:00"),
        ("0 0 29 2 *", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("0 2 * * 0", "2026-01-01T00:00", "2026-01-04T02:00"),
        ("0 2 * * 7", "2026-01-01T00:00", "2026-01-04T02:00"),
        ("0 0 13 * 5", "2026-01-03T00:00", "2026-01-09T00:00"),
        ("0 9-17/4 * * 1-5", "2026-01-02T13:30", "2026-01-02T17:00"),
        ("5,10 3 1 1 *", "2026-01-01T03:05", "2026-01-01T03:10"),
        ("@daily", "2026-12-31T02:00", "2027-01-01T02:00"),
        ("@weekly", "2026-01-01T00:00", "2026-01-04T02:00"),
    ],
)
def test_the_next_time(schedule: str, after: str, wanted: str) -> None:
    assert next_after(parse_schedule(schedule), ns(after)) == ns(wanted)


def test_a_day_that_never_comes() -> None:
    assert next_after(parse_schedule("0 0 30 2 *"), ns("2026-01-01")) is None


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *",
     "a * * * *", "1- * * * *", "-1 * * * *", "@never", "1,,2 * * * *", "٣ * * * *", "* * * * * *"],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_schedule(text)


@given(st.text(max_size=30))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        parse_schedule(text)
    except BadInput:
        return


@given(
    minute=st.integers(0, 59), hour=st.integers(0, 23), after=st.integers(0, 4_000_000_000), late=st.integers(0, 9999)
)  # fmt: skip
def test_due_exactly_once_a_day(minute: int, hour: int, after: int, late: int) -> None:
    schedule = parse_schedule(f"{minute} {hour} * * *")
    due = next_after(schedule, after * NS)
    assert due is not None
    assert after * NS < due <= (after + 86_400) * NS
    assert not is_due(schedule, last_ns=after * NS, set_ns=0, now_ns=due - 1)
    assert is_due(schedule, last_ns=after * NS, set_ns=0, now_ns=due + late * NS)
    assert not is_due(schedule, last_ns=due, set_ns=0, now_ns=due)
    assert not is_due(schedule, last_ns=0, set_ns=due, now_ns=due)
