"""When sessions and TTL checks run out of time. Pure: what was seen when, and now → what is due.

Only the leader asks. Signs of life are revisions of pulse keys; their time is when this leader first saw them, so a
change of leader grants everyone a full period again, and no clock of another machine matters.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Deadlines(Generic[K]):
    """Of one kind of thing."""

    _seen: dict[K, tuple[int, float]] = field(default_factory=dict)
    """What → (newest sign of life, when it was seen)."""

    def overdue(self, alive: Iterable[tuple[K, int, float]], now_s: float) -> list[K]:
        """Those of `alive` (what, newest sign of life, allowed silence in s) that have been silent for too long.

        What is not listed any more is forgotten.
        """
        seen: dict[K, tuple[int, float]] = {}
        due: list[K] = []
        for what, sign, allowed_s in alive:
            known = self._seen.get(what)
            seen[what] = known if known is not None and known[0] == sign else (sign, now_s)
            if now_s - seen[what][1] > allowed_s:
                due.append(what)
        self._seen = seen
        return due
