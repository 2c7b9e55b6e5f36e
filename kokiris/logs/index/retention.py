"""What must go, and when no more may come in. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Day:
    """A day's index on disk."""

    name: str
    """ "2026-11-23"."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """`days`: today counts as one. `bytes` 0: no limit but the disk's."""

    days: int = 7
    size_bytes: int = 0
    min_free_bytes: int = 512 * MEGABYTE
    """Below, ingest is refused: the node needs the rest."""
    min_free_share: float = 0.05


def expired(days: Sequence[Day], today: str, limits: Limits) -> list[str]:
    """The names of days to remove, oldest first: too old, or the oldest of too much. Today always stays."""
    oldest_kept = (date.fromisoformat(today) - timedelta(days=max(1, limits.days) - 1)).isoformat()
    ordered = sorted(days, key=lambda day: day.name)
    gone = [day.name for day in ordered if day.name < oldest_kept]
    kept = [day for day in ordered if day.name >= oldest_kept]
    total = sum(day.size_bytes for day in kept)
    while limits.size_bytes and total > limits.size_bytes and kept and kept[0].name < today:
        first = kept.pop(0)
        gone.append(first.name)
        total -= first.size_bytes
    return gone


def refusal(*, free_bytes: int, disk_bytes: int, limits: Limits, today_bytes: int = 0, incoming_bytes: int = 0) -> str:
    """Why nothing may come in now; "" when it may. `today_bytes` alone over the limit of bytes refuses too: today is
    never removed."""
    floor = max(limits.min_free_bytes, min(int(disk_bytes * limits.min_free_share), 8 * limits.min_free_bytes))
    if free_bytes - incoming_bytes < floor:
        return f"disk almost full: {free_bytes // MEGABYTE} MB free, log ingest stops below {floor // MEGABYTE} MB"
    if limits.size_bytes and today_bytes > limits.size_bytes:
        return (
            f"today's entries take {today_bytes // MEGABYTE} MB, over the limit of "
            f"{limits.size_bytes // MEGABYTE} MB (logs.retention_bytes)"
        )
    return ""
