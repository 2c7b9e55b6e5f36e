"""Times in documents and queries: what the field's programs write, as unix microseconds. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kokiris.kernel.errors import BadInput

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UTC = EPOCH.replace(tzinfo=None)
MIN_US, MAX_US = 0, 4_102_444_800 * SECOND_US
"""1970 to 2100: what the index's sort key can hold."""

_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:[T t](?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?)?"
    r" ?(?P<zone>[Zz]|[-+]\d\d(?::?\d\d)?)?)?)?",
    re.ASCII,
)
_MATH = re.compile(r"([+-])(\d+)?([yMwdhHms])|/([yMwdhHms])", re.ASCII)
_PARTS = ("month", "day", "hour", "minute", "second")
_ROUND_OF_PART = {"year": "y", "month": "M", "day": "d", "hour": "h", "minute": "m", "second": "s"}


def iso(time_us: int) -> str:
    """ "2026-11-23T10:00:00.123456Z", always with six digits."""
    return (_EPOCH_UTC + timedelta(microseconds=time_us)).isoformat(timespec="microseconds") + "Z"


def iso_ms(time_us: int) -> str:
    """ "2026-11-23T10:00:00.123Z", as Elasticsearch writes keys."""
    return iso(time_us)[:-4] + "Z"


def day_of(time_us: int) -> str:
    """The UTC day, "2026-11-23"."""
    return _day(time_us // DAY_US)


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return iso(number * DAY_US)[:10]


def to_us(moment: datetime) -> int:
    """Unix µs, exactly."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds


def epoch_to_us(value: float) -> int:
    """A number of seconds, ms, µs or ns since 1970, told apart by its size."""
    size = abs(value)
    if size < 1e11:
        return round(value * 1_000_000)
    if size < 1e14:
        return round(value * 1_000)
    return round(value) if size < 1e17 else int(value) // 1_000


def document_time_us(value: object) -> int:
    """The time a document states, in unix µs. Raises BadInput when it is none, or not of 1970 to 2099."""
    found: int | None = None
    if isinstance(value, str):
        text = value.strip()
        if (plain := _plain_iso_us(text)) is not None:
            found = plain
        elif re.fullmatch(r"\d{9,19}(\.\d{1,9})?", text, re.ASCII):
            found = epoch_to_us(float(text) if "." in text else int(text))
        elif len(text) >= 10 and (match := _DATE_TIME.fullmatch(text)) is not None:
            found = to_us(_start(match, UTC, text)[0])
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e20:
        found = epoch_to_us(value)
    if found is None or not MIN_US <= found < MAX_US:
        raise BadInput(f"failed to parse date field [{str(value)[:100]}]", next_step="Write the time as RFC 3339.")
    return found


def _plain_iso_us(text: str) -> int | None:
    """The common form, at a fraction of the general one's cost."""
    if not (20 <= len(text) <= 32 and text[10] == "T" and text[4] == "-" and text[-1] == "Z"):
        return None
    try:
        return to_us(datetime.fromisoformat(text))
    except ValueError:
        return None


def zone_of(name: str) -> tzinfo:
    """ "+02:00", "UTC" or "Europe/Paris". Raises BadInput."""
    if re.fullmatch(r"[+-]\d\d:?\d\d", name, re.ASCII):
        sign = -1 if name[0] == "-" else 1
        digits = name[1:].replace(":", "")

        return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:])))
    if name in {"", "Z", "UTC", "utc"}:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(f'time zone "{name}" is not known', next_step="Write an offset (+02:00) or a name.") from None


def query_time_us(value: object, *, now_us: int, round_up: bool, form: str = "", zone: tzinfo = UTC) -> int:
    """The time a query means: RFC 3339, a part of it, epoch ms, or date math (`now-1h/d`, `2026-01-01||+1M`).

    A part of a date ("2026-01") is its beginning, or with `round_up` its last microsecond. Raises BadInput.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadInput(f"failed to parse date field [{str(value)[:100]}]")
    text = str(value).strip()
    if re.fullmatch(r"-?\d{5,}(\.\d+)?", text, re.ASCII) or (form.startswith("epoch") and text.lstrip("-").isdigit()):
        factor = SECOND_US if form.startswith("epoch_second") else 1000
        return _bounded(round(float(text) * factor) if "." in text else int(text) * factor, text)
    if text.startswith("now"):
        moment, rest, rounded = EPOCH + timedelta(microseconds=now_us), text[3:], ""
    else:
        head, bars, rest = text.partition("||")
        match = _DATE_TIME.fullmatch(head)
        if match is None:
            raise BadInput(
                f"failed to parse date field [{text[:100]}]", next_step="Write 2026-11-23T10:00:00Z, or now-1h."
            )
        moment, rounded = _start(match, zone, text)
        rounded = "" if bars else rounded
    try:
        return _bounded(_calculated(moment, rest, text, rounded, round_up=round_up, zone=zone), text)
    except (OverflowError, ValueError):
        raise BadInput(f"date field [{text[:100]}] is out of range") from None


def _bounded(time_us: int, text: str) -> int:
    if abs(time_us) > 9_000_000_000_000_000:
        raise BadInput(f"date field [{text[:100]}] is out of range")
    return time_us


def _calculated(moment: datetime, math: str, text: str, rounded: str, *, round_up: bool, zone: tzinfo) -> int:
    position = 0
    while position < len(math):
        match = _MATH.match(math, position)
        if match is None:
            raise BadInput(
                f"date math [{text[:100]}] is not understood at position {len(text) - len(math) + position + 1}"
            )
        if match[4]:
            moment, rounded = floor(moment, match[4], zone), match[4]
            if round_up:
                moment = shifted(moment, 1, match[4]) - timedelta(microseconds=1)
            rounded = ""
        else:
            moment, rounded = shifted(moment, int(match[1] + (match[2] or "1")), match[3]), ""
        position = match.end()
    if rounded and round_up:
        moment = shifted(moment, 1, rounded) - timedelta(microseconds=1)
    return to_us(moment)


def _start(match: re.Match[str], zone: tzinfo, text: str) -> tuple[datetime, str]:
    """(beginning, smallest part given) of a date that may be partial."""
    smallest = "year"
    for part in _PARTS:
        if match[part] is not None:
            smallest = part
    numbers = [int(match[part] or default) for part, default in zip(("year", *_PARTS), (0, 1, 1, 0, 0, 0), strict=True)]
    try:
        year, month, day, hour, minute, second = numbers
        micros = int((match["fraction"] or "0").ljust(6, "0")[:6])
        stated = match["zone"]
        if stated and stated not in "Zz":
            zone = zone_of(stated[:3] + (stated[3:].replace(":", "") or "00"))
        elif stated:
            zone = UTC
        moment = datetime(year, month, day, hour, minute, min(second, 59), micros, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"failed to parse date field [{text[:100]}]", next_step="Write the time as RFC 3339.") from None
    return moment, "" if match["fraction"] else _ROUND_OF_PART[smallest]


def shifted(moment: datetime, count: int, unit: str) -> datetime:
    """`moment` plus `count` years (y), months (M), weeks (w), days (d), hours (h), minutes (m), seconds (s)."""
    if unit in "yM":
        months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "y" else 1)
        year, month = divmod(months, 12)
        last = (datetime(year + (month == 11), (month + 1) % 12 + 1, 1, tzinfo=UTC) - timedelta(days=1)).day
        return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
    seconds = {"w": 604_800, "d": 86_400, "h": 3_600, "H": 3_600, "m": 60, "s": 1}[unit]
    return moment + timedelta(seconds=seconds * count)


def floor(moment: datetime, unit: str, zone: tzinfo = UTC) -> datetime:
    """The beginning of the unit (as in `shifted`; q: quarter) that `moment` lies in, as `zone`'s clocks show it."""
    local = moment.astimezone(zone).replace(microsecond=0)
    if unit != "s":
        local = local.replace(second=0)
    if unit not in "sm":
        local = local.replace(minute=0)
    if unit not in "smhH":
        local = local.replace(hour=0)
    if unit == "w":
        local -= timedelta(days=local.weekday())
    if unit in "Mqy":
        month = {"M": local.month, "q": (local.month - 1) // 3 * 3 + 1, "y": 1}[unit]
        local = local.replace(day=1, month=month)
    return local.astimezone(UTC)
