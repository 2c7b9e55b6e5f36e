"""Which ended allocations' folders are removed: too many, or too little disk. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_ENDED = 50
DISK_USED_LIMIT = 0.80
INODES_USED_LIMIT = 0.70


@dataclass(frozen=True, slots=True)
class EndedAlloc:
    """`ended_ns`: when."""

    id: str
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Disk:
    """Shares in use, 0 to 1."""

    used: float = 0.0
    inodes_used: float = 0.0

    def tight(self) -> bool:
        """Whether ended allocations' folders have to make room."""
        return self.used > DISK_USED_LIMIT or self.inodes_used > INODES_USED_LIMIT


def to_collect(ended: Sequence[EndedAlloc], max_ended: int = MAX_ENDED) -> list[str]:
    """Ids beyond the newest `max_ended`, oldest first."""
    oldest_first = sorted(ended, key=lambda one: (one.ended_ns, one.id))
    return [one.id for one in oldest_first[: max(0, len(oldest_first) - max_ended)]]


def next_for_room(ended: Sequence[EndedAlloc], disk: Disk) -> str:
    """The next one to remove while the disk is tight; "" when there is nothing to do. Asked again after each."""
    if not disk.tight() or not ended:
        return ""
    return min(ended, key=lambda one: (one.ended_ns, one.id)).id
