"""When something is due by itself: the five fields of cron, UTC, without names. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kokiris.kernel.errors import BadInput

SHORTHANDS = {"@hourly": "0 * * * *", "@daily": "0 2 * * *", "@weekly": "0 2 * * 0", "@monthly": "0 2 1 * *"}
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_HORIZON_DAYS = 4 * 366 + 1
"""A 29th of February comes within this."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Sets of values that match; `any_day` and `any_weekday` say that a field was "*"."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    any_day: bool
    any_weekday: bool

    def has_day(self, at: datetime) -> bool:
        """As cron: when both day and weekday are restricted, one of them is enough."""
        if at.month not in self.months:
            return False
        day, weekday = at.day in self.days, at.isoweekday() % 7 in self.weekdays
        return (day and weekday) if self.any_day or self.any_weekday else (day or weekday)


def parse_schedule(text: str) -> Schedule:
    """`minute hour day month weekday` of numbers, `*`, lists, ranges and steps, or a shorthand. Raises BadInput."""
    fields = SHORTHANDS.get(text.strip(), text).split()
    if len(fields) != len(_FIELDS):
        raise BadInput(
            f'schedule "{text[:60]}" has {len(fields)} fields instead of 5',
            next_step='Write "minute hour day month weekday", as in "30 2 * * *", or @daily, @hourly, @weekly.',
        )
    sets = [_values(field, *limits) for field, limits in zip(fields, _FIELDS, strict=True)]
    return Schedule(
        sets[0], sets[1], sets[2], sets[3], frozenset(day % 7 for day in sets[4]), fields[2] == "*", fields[4] == "*"
    )


def _values(field: str, what: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = ("*", "", "") if span == "*" else span.partition("-")
        numbers = (step if slash else "1", first if first != "*" else "0", last if dash else "0")
        if not all(one.isdecimal() and one.isascii() and len(one) < 4 for one in numbers):
            raise BadInput(f'schedule: {what} "{field[:40]}" is not understood', next_step="Use numbers, * , - and /.")
        start, end = (low, high) if first == "*" else (int(first), int(last) if dash else high if slash else int(first))
        if not (low <= start <= end <= high) or int(numbers[0]) == 0:
            raise BadInput(f'schedule: {what} "{field[:40]}" is outside of {low} to {high}')
        found.update(range(start, end + 1, int(numbers[0])))
    return frozenset(found)


def next_after(schedule: Schedule, after_ns: int) -> int | None:
    """The first matching minute later than `after_ns` (Unix ns, UTC); None when there is none (a 30th of February)."""
    minute = datetime.fromtimestamp(after_ns // 1_000_000_000, UTC).replace(second=0, microsecond=0)
    at = minute + timedelta(minutes=1)
    last = at + timedelta(days=_HORIZON_DAYS)
    while at < last:
        if not schedule.has_day(at):
            at = (at + timedelta(days=1)).replace(hour=0, minute=0)
        elif at.hour not in schedule.hours:
            at = (at + timedelta(hours=1)).replace(minute=0)
        elif at.minute not in schedule.minutes:
            at += timedelta(minutes=1)
        else:
            return int(at.timestamp()) * 1_000_000_000
    return None


def is_due(schedule: Schedule, *, last_ns: int, set_ns: int, now_ns: int) -> bool:
    """Whether a time of the schedule has passed since it was last done, or since it was set: what was missed while the
    servers were down is made up for, once."""
    due_ns = next_after(schedule, max(last_ns, set_ns))
    return due_ns is not None and due_ns <= now_ns
