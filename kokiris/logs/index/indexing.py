"""Acknowledged entries into their day's index: retried while the disk is at fault, taken apart when an entry is."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from kokiris.kernel.errors import HostError
from kokiris.logs.index.day import DayIndex
from kokiris.logs.index.room import Room, unwritable
from kokiris.logs.index.schema import KEY_STEPS, row_of
from kokiris.logs.model import Indexed

log = logging.getLogger(__name__)

RETRIES = 3
ROOM_BYTES = 1 << 20
"""What a commit needs at least, to be worth a try."""


class Pending(msgspec.Struct, gc=False):
    """Acknowledged, and not in its day's index yet."""

    sequence: int
    identifier: str
    source: bytes
    entry: Indexed
    day: str


class Indexing:
    """For one thread. `day_of` opens or creates a day's index; `pause` waits a while before a further try; False: there
    will be none, the process ends."""

    def __init__(self, room: Room, folder: Path, day_of: Callable[[str], DayIndex], pause: Callable[[], bool]) -> None:
        self._room = room
        self._folder = folder
        self._day_of = day_of
        self._pause = pause
        self._keys: OrderedDict[int, int] = OrderedDict()

    def commit(self, name: str, rows: Sequence[Pending]) -> bool:
        """True when all rows are in the index, but for one that it will never take. False when it cannot be written and
        the process ends: the rows stay in the journal."""
        attempts = 0
        while attempts < RETRIES:
            error = self._attempt(name, rows)
            if not error:
                self._room.trouble("")
                return True
            log.warning("log index %s: %d entries not committed (%s)", name, len(rows), error)
            reason = unwritable(self._folder, ROOM_BYTES + 2 * sum(len(row.source) for row in rows))
            if not reason:
                attempts += 1
                continue
            self._room.trouble(f"log index {name} cannot be written: {reason}")
            if not self._pause():
                return False
        if len(rows) == 1:
            log.error("log index %s: entry %d is left out: the index does not take it", name, rows[0].sequence)
            return True
        middle = len(rows) // 2
        return self.commit(name, rows[:middle]) and self.commit(name, rows[middle:])

    def _attempt(self, name: str, rows: Sequence[Pending]) -> str:
        """What went wrong; then none of the rows is in the index."""
        try:
            day = self._day_of(name)
        except (HostError, OSError) as error:
            return str(error)
        try:
            self._add_and_commit(day, rows)
        except (ValueError, OSError) as error:
            day.rollback()
            return str(error)
        return ""

    def _add_and_commit(self, day: DayIndex, rows: Sequence[Pending]) -> None:
        rows = [row for row in rows if row.sequence > day.committed]  # a commit may succeed and what follows it fail
        for one in rows:
            if day.catalogue.add(one.entry, len(one.source)):
                day.catalogue_changed()
            day.add(
                row_of(
                    one.entry,
                    key=self._key(one.entry.time_us),
                    sequence=one.sequence,
                    identifier=one.identifier,
                    source=one.source,
                    paths=day.paths,
                )
            )
        if rows:
            day.commit(rows[-1].sequence)

    def _key(self, time_us: int) -> int:
        """Unique among the entries of one µs, as long as there are fewer than KEY_STEPS; then it leans on the next."""
        while True:
            step = self._keys.get(time_us, -1) + 1
            if step < KEY_STEPS:
                break
            time_us += 1
        self._keys[time_us] = step
        if len(self._keys) > 50_000:
            self._keys.popitem(last=False)
        return time_us * KEY_STEPS + step
