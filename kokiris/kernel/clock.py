"""Time, handed in: code that decides takes `now_ns`; only shells around it read a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

NowNs = Callable[[], int]
"""A wall clock: unix time in nanoseconds."""

ZERO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero `time.Time`, as Nomad and Consul write "never"."""


def wall_ns() -> int:
    """Unix time in nanoseconds."""
    return time.time_ns()


def rfc3339(unix_ns: int) -> str:
    """RFC 3339 with nanoseconds as Go writes it (trailing zeros cut, UTC); 0 is Go's zero time."""
    if unix_ns == 0:
        return ZERO_TIME
    seconds, nanos = divmod(unix_ns, 1_000_000_000)
    base = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{base}{fraction}Z"


def parse_rfc3339_ns(text: str) -> int:
    """The inverse of `rfc3339`; Go's zero time and "" are 0. Raises ValueError on anything else malformed."""
    if text in {"", ZERO_TIME}:
        return 0
    head, dot, tail = text.partition(".")
    if not dot:
        return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    digits = tail.rstrip("Zz")
    zone = "+00:00"
    for mark in ("+", "-"):
        if mark in digits:
            digits, _, offset = digits.partition(mark)
            zone = mark + offset
    seconds = int(datetime.fromisoformat(head + zone).timestamp())
    return seconds * 1_000_000_000 + int(digits.ljust(9, "0")[:9])
