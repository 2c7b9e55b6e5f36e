"""Time, handed in: code that decides takes `now_ns`; only shells around it read a clock."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

_RFC3339 = re.compile(
    r"(?P<head>\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?(?P<zone>[Zz]|[-+]\d\d:\d\d)", re.ASCII
)

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
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a time in RFC 3339')
    seconds = int(datetime.fromisoformat(match["head"] + match["zone"].upper()).timestamp())
    return seconds * 1_000_000_000 + int((match["fraction"] or "").ljust(9, "0")[:9])
