"""Functions of times, which are RFC 3339 texts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from kokiris.kernel.errors import BadInput
from kokiris.kernel.units import parse_duration_ns
from kokiris.orchestrator.jobspec.values import Value, ValueProblem, to_string

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")
_TOKEN = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|[^A-Za-z']+|'")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _parse(timestamp: Value) -> datetime:
    text = to_string(timestamp)
    if _RFC3339.fullmatch(text):
        try:
            return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).upper())
        except ValueError:
            pass
    raise ValueProblem(f'"{text[:60]}" is not a time like 2026-01-31T12:00:00Z')


def timeadd(timestamp: Value, duration: Value) -> Value:
    """The time that much later (or earlier, for a negative duration)."""
    moment = _parse(timestamp)
    try:
        moved = moment + timedelta(microseconds=parse_duration_ns(to_string(duration)) // 1000)
    except (BadInput, OverflowError) as error:
        raise ValueProblem(f"the duration cannot be used: {error}") from None
    text = moved.isoformat()
    return text.replace("+00:00", "Z") if moved.tzinfo in {UTC, None} or text.endswith("+00:00") else text


def formatdate(spec: Value, timestamp: Value) -> Value:
    """The time written as `spec` says: YYYY MM DD hh mm ss ZZZZ, quoted text in ' '."""
    moment = _parse(timestamp)
    parts: list[str] = []
    for match in _TOKEN.finditer(to_string(spec)):
        token = match[0]
        if token.startswith("'"):
            if len(token) < 2:
                raise ValueProblem("a quote is not closed")
            parts.append(token[1:-1].replace("''", "'"))
        elif match[1]:
            parts.append(_part(token, moment))
        else:
            parts.append(token)
    return "".join(parts)


def _part(token: str, moment: datetime) -> str:
    half = (moment.hour + 11) % 12 + 1
    month, day = _MONTHS[moment.month - 1], _DAYS[moment.weekday()]
    written = {
        "YYYY": f"{moment.year:04d}",
        "YY": f"{moment.year % 100:02d}",
        "MMMM": month,
        "MMM": month[:3],
        "MM": f"{moment.month:02d}",
        "M": str(moment.month),
        "DD": f"{moment.day:02d}",
        "D": str(moment.day),
        "EEEE": day,
        "EEE": day[:3],
        "hh": f"{moment.hour:02d}",
        "h": str(moment.hour),
        "HH": f"{half:02d}",
        "H": str(half),
        "AA": "PM" if moment.hour >= 12 else "AM",
        "aa": "pm" if moment.hour >= 12 else "am",
        "mm": f"{moment.minute:02d}",
        "m": str(moment.minute),
        "ss": f"{moment.second:02d}",
        "s": str(moment.second),
        **_zone(moment),
    }
    if token not in written:
        raise ValueProblem(f'"{token[:20]}" is no part of a date; text is put in single quotes')
    return written[token]


def _zone(moment: datetime) -> dict[str, str]:
    offset = moment.utcoffset() or timedelta()
    minutes = int(offset.total_seconds()) // 60
    sign, size = ("-", -minutes) if minutes < 0 else ("+", minutes)
    plain, colon = f"{sign}{size // 60:02d}{size % 60:02d}", f"{sign}{size // 60:02d}:{size % 60:02d}"
    return {
        "ZZZZZ": colon,
        "ZZZZ": plain,
        "ZZZ": "UTC" if minutes == 0 else plain,
        "Z": "Z" if minutes == 0 else colon,
    }


FUNCTIONS = {"formatdate": formatdate, "timeadd": timeadd}
