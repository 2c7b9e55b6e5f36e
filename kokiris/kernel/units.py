"""Durations and sizes as the field writes them. Durations are integers in nanoseconds, as on Nomad's wire."""

from __future__ import annotations

import re

from kokiris.kernel.errors import BadInput

MICROSECOND_NS = 1_000
MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS

_UNITS_NS = {
    "ns": 1,
    "us": MICROSECOND_NS,
    "µs": MICROSECOND_NS,
    "μs": MICROSECOND_NS,
    "ms": MILLISECOND_NS,
    "s": SECOND_NS,
    "m": MINUTE_NS,
    "h": HOUR_NS,
}
_DURATION = re.compile(
    r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))*",
    re.ASCII,
)
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_MAX_NS = 2**63 - 1


def parse_duration_ns(text: str) -> int:
    """Go's `time.ParseDuration`: "1h30m", "500ms", "-2s", "0". Raises BadInput naming the value."""
    stripped = text.strip()
    if stripped in {"0", "+0", "-0"}:
        return 0
    if not _DURATION.fullmatch(stripped):
        raise BadInput(
            f'"{text}" is not a duration', next_step='Write a number and a unit: "500ms", "10s", "5m", "1h30m".'
        )
    total = 0
    for number, unit in _PART.findall(stripped):
        whole, _, fraction = number.partition(".")
        total += int(whole or "0") * _UNITS_NS[unit]
        if fraction:
            total += int(fraction) * _UNITS_NS[unit] // 10 ** len(fraction)
    negative = stripped.startswith("-")
    if total > _MAX_NS + negative:
        raise BadInput(f'"{text}" is not a duration: too long', next_step="Stay below 292 years (2562047h).")
    return -total if negative else total


def format_duration(duration_ns: int) -> str:
    """Go's `Duration.String`: 90 s is "1m30s", 1.5 ms is "1.5ms", 0 is "0s"."""
    if duration_ns == 0:
        return "0s"
    sign, rest = ("-", -duration_ns) if duration_ns < 0 else ("", duration_ns)
    if rest < SECOND_NS:
        for unit, size in (("ms", MILLISECOND_NS), ("µs", MICROSECOND_NS), ("ns", 1)):
            if rest >= size:
                return f"{sign}{_decimal(rest, size)}{unit}"
    hours, rest = divmod(rest, HOUR_NS)
    minutes, rest = divmod(rest, MINUTE_NS)
    text = f"{hours}h" if hours else ""
    if hours or minutes:
        text += f"{minutes}m"
    return f"{sign}{text}{_decimal(rest, SECOND_NS)}s"


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    if not fraction:
        return str(whole)
    digits = str(fraction).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"


def format_size(size_bytes: int) -> str:
    """Three digits or so and a decimal unit: "1.5 MB", "120 GB"."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
