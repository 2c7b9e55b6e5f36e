"""The index of one client: entries in, journalled, indexed by a thread of its own, searched over all days."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from kokiris.kernel.errors import BadInput, Busy, KokirisError
from kokiris.logs.documents import indexed
from kokiris.logs.index.day import DayIndex
from kokiris.logs.index.indexing import Indexing, Pending
from kokiris.logs.index.journal import Journal, Record
from kokiris.logs.index.retention import Day, Limits, expired
from kokiris.logs.index.room import Room
from kokiris.logs.model import TIME, Document, Indexed
from kokiris.logs.query.compile import sequence_id
from kokiris.logs.query.tree import Ids
from kokiris.logs.times import DAY_US, day_of, iso

log = logging.getLogger(__name__)

COMMIT_EVERY_S = 1.0
COMMIT_AT_ROWS, COMMIT_AT_BYTES = 20_000, 16 << 20
MAX_PENDING, MAX_PENDING_BYTES = 60_000, 64 << 20
"""Entries that are durable and not visible yet; beyond, senders are asked to wait."""
RETENTION_EVERY_S = 60.0
ID_DAYS = 2
"""So many of the last days are always looked through for an id, and all since the oldest entry that is sent along: what
is sent again within minutes may have got another time, anything else has the time it had."""


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """A document to be indexed. `identifier` "": one is given to it. `source`: the document as JSON on one line, as it
    is to be kept; b"" has it written."""

    document: Document
    identifier: str = ""
    source: bytes = b""


class Taken(msgspec.Struct, frozen=True, gc=False):
    """What became of one: `error` "" is acknowledged, hence durable; `duplicate`: its id is there already."""

    identifier: str
    error: str = ""
    duplicate: bool = False


class LogIndex:
    """`take` may be called from any thread. `start` replays the journal; `stop` commits what is left."""

    def __init__(self, folder: Path, limits: Limits, *, commit_every_s: float = COMMIT_EVERY_S) -> None:
        self._folder = folder
        self.room = Room(folder, limits, self._today_bytes)
        self._commit_every_s = commit_every_s
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._journal = Journal(folder / "journal")
        self._queue: deque[Pending] = deque()
        self._uncommitted = 0
        self._ids: set[str] = set()
        self._days: dict[str, DayIndex] = {}
        self._sequence = 0
        self._acknowledged = 0
        """The number of the newest entry that is durable; `_indexed` of the newest that is visible."""
        self._indexed = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._retention_s = -1e9
        self._removals: list[str] = []
        self._generation = 0
        self._indexing = Indexing(self.room, folder, self._day, self._pause)

    @property
    def limits(self) -> Limits:
        """They may be changed while it runs."""
        return self.room.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self.room.limits = limits

    # ---- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Opens all days, begins to take, and returns once what the journal still holds is indexed too (or the disk
        keeps it from being: reading goes on meanwhile). Raises HostError."""
        (self._folder / "days").mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted((self._folder / "days").iterdir()):
            if path.is_dir() and len(path.name) == 10:
                self._days[path.name] = DayIndex(path)
        self._sequence = max((day.committed for day in self._days.values()), default=0)
        self._replay()
        self._acknowledged = self._sequence
        self._indexed = 0 if self._queue else self._sequence
        self._thread = threading.Thread(target=self._run, name="log index", daemon=True)
        self._thread.start()
        while self.waiting() and not self.room.refusal():
            time.sleep(0.01)

    def stop(self) -> None:
        """Idempotent."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for day in self._days.values():
            with contextlib.suppress(OSError):
                day.save_catalogue()
            day.close_writer()
        self._journal.close()

    def _replay(self) -> None:
        for record in self._journal.replay():
            self._sequence = max(self._sequence, record.sequence)
            try:
                entry = indexed(msgspec.json.decode(record.source), record.received_us)
            except (BadInput, msgspec.MsgspecError) as error:
                log.warning("journal: entry %d is not indexed: %s", record.sequence, error)
                continue
            day = day_for(entry.time_us, record.received_us)
            pending = Pending(record.sequence, record.identifier, bytes(record.source), entry, day)
            known = self._days.get(day)
            if known is not None and record.sequence <= known.committed:
                continue
            self._queue.append(pending)
        self._uncommitted = len(self._queue)
        self._ids.update(one.identifier for one in self._queue if one.identifier)
        if self._queue:
            log.info("journal: %d entries are indexed now", len(self._queue))
        else:
            self._journal.clear()

    # ---- taking -----------------------------------------------------------------------------------------------------

    def take(self, incoming: Sequence[Incoming]) -> list[Taken]:
        """Returns once every accepted document is durable, one answer each, in order. Raises Busy when nothing may
        come in now (disk, or the index is behind); then none is taken."""
        now_us = time.time_ns() // 1000
        size_bytes = 0
        answers: list[Taken | None] = []
        accepted: list[tuple[int, Incoming, Indexed, bytes]] = []
        for number, one in enumerate(incoming):
            try:
                entry = indexed(one.document, now_us)
            except (BadInput, RecursionError) as error:
                reason = error.message if isinstance(error, KokirisError) else "nested too deeply"
                answers.append(Taken(one.identifier, reason))
                continue
            source = _source_of(one, entry)
            size_bytes += len(source)
            accepted.append((number, one, entry, source))
            answers.append(None)
        identifiers = [one.identifier for _, one, _, _ in accepted if one.identifier]
        oldest = day_of(min((entry.time_us for _, _, entry, _ in accepted), default=now_us))
        generation = self._generation
        known = self._known(identifiers, oldest)
        with self._wake:
            if self._generation != generation:  # committed meanwhile: what was pending then is found in the days now
                known = self._known(identifiers, oldest)
            self._check_room(size_bytes)
            taken = self._number(accepted, known, answers, now_us)
            self._append([Record(one.sequence, now_us, one.identifier, msgspec.Raw(one.source)) for one in taken])
            self._queue.extend(taken)
            self._uncommitted += len(taken)
            self._acknowledged = self._sequence if taken else self._acknowledged
            self._ids.update(one.identifier for one in taken if one.identifier)
            self._wake.notify_all()
        return [answer for answer in answers if answer is not None]

    def _number(
        self,
        accepted: Sequence[tuple[int, Incoming, Indexed, bytes]],
        known: set[str],
        answers: list[Taken | None],
        now_us: int,
    ) -> list[Pending]:
        taken: list[Pending] = []
        fresh: set[str] = set()
        for number, one, entry, source in accepted:
            identifier = one.identifier
            if identifier and (identifier in known or identifier in self._ids or identifier in fresh):
                answers[number] = Taken(identifier, "version conflict, document already exists", duplicate=True)
                continue
            fresh.add(identifier)
            self._sequence += 1
            taken.append(Pending(self._sequence, identifier, source, entry, day_for(entry.time_us, now_us)))
            answers[number] = Taken(identifier or sequence_id(self._sequence))
        return taken

    def _append(self, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            self._journal.append(records)
        except OSError as error:
            raise Busy(
                f"log journal {self._folder}: {error.strerror}", next_step="Free disk space; senders try again."
            ) from error

    def _known(self, identifiers: Sequence[str], oldest: str) -> set[str]:
        """Those of the ids that are committed already."""
        if not identifiers:
            return set()
        found: set[str] = set()
        for number, day in enumerate(day for day in self.days() if day.documents):
            if number >= ID_DAYS and day.name < oldest:
                break
            hits, searcher = day.newest(day.compile(Ids(tuple(identifiers))), len(identifiers))
            found.update(str(searcher.doc(hit.address).get_first("id")) for hit in hits)
        return found

    def _check_room(self, incoming_bytes: int) -> None:
        if self._uncommitted > MAX_PENDING or self._journal.size_bytes > MAX_PENDING_BYTES:
            raise Busy(f"log index: {self._uncommitted} entries wait to be indexed", next_step="Send more slowly.")
        reason = self.room.refusal(incoming_bytes)
        if reason:
            raise Busy(reason, next_step="Free disk space, or lower logs.retention_days.")

    def _today_bytes(self) -> int:
        today = self._days.get(day_of(time.time_ns() // 1000))
        return today.size_bytes() if today is not None else 0

    # ---- indexing: the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        patience_s = 0.0  # what the journal still held is not kept waiting
        while True:
            with self._wake:
                self._wake.wait_for(
                    lambda: self._stopping or bool(self._queue or self._removals), timeout=self._commit_every_s
                )
                stopping = self._stopping
            try:
                if not stopping:
                    self._collect_for(patience_s)
                patience_s = self._commit_every_s
                done = self._commit()
                if stopping:
                    return
                self._upkeep()
                if done:
                    self.room.trouble("")
            except OSError as error:
                self.room.trouble(f"log index {self._folder}: {error.strerror or error}")
                if not self._wait():
                    return
            except Exception as defect:
                log.exception("log index: a defect; entries stay in the journal")
                self.room.trouble(f"log index {self._folder} has a defect: {defect}")
                if not self._wait():
                    return

    def _wait(self) -> bool:
        """Before a further try. False: there is none, the process ends."""
        with self._wake:
            return not self._wake.wait_for(lambda: self._stopping, timeout=self._commit_every_s)

    def _pause(self) -> bool:
        """As `_wait`, with time for what may make room. Raises OSError."""
        if not self._wait():
            return False
        self._upkeep()
        return True

    def _collect_for(self, seconds: float) -> None:
        """Waits until a commit is worth it: a second since the first entry, or many of them."""
        with self._wake:
            if self._queue:
                self._wake.wait_for(lambda: self._stopping or self._is_worth_it(), timeout=seconds)

    def _is_worth_it(self) -> bool:
        return len(self._queue) >= COMMIT_AT_ROWS or self._journal.size_bytes >= COMMIT_AT_BYTES

    def _commit(self) -> bool:
        """Indexes the whole queue, then forgets the journal that held it. False, or OSError raised: nothing is lost,
        and the next call goes on."""
        with self._wake:
            if not self._queue:
                return True
            last_journal = self._journal.rotate()
            batch = list(self._queue)
        by_day: dict[str, list[Pending]] = {}
        for pending in batch:
            by_day.setdefault(pending.day, []).append(pending)
        if not all(self._indexing.commit(name, rows) for name, rows in by_day.items()):
            return False
        with self._wake:
            self._journal.forget(last_journal)
            for _ in batch:
                self._queue.popleft()
            self._uncommitted = len(self._queue)
            self._indexed = batch[-1].sequence if self._queue else self._acknowledged
            self._generation += 1
            self._ids.difference_update(one.identifier for one in batch)
        return True

    def _day(self, name: str) -> DayIndex:
        day = self._days.get(name)
        if day is None:
            day = DayIndex(self._folder / "days" / name)
            with self._lock:
                self._days = {**self._days, name: day}
        return day

    # ---- upkeep -----------------------------------------------------------------------------------------------------

    def _upkeep(self) -> None:
        with self._lock:
            removals, self._removals = self._removals, []
        for name in removals:
            self._remove(name)
        now_s = time.monotonic()
        if now_s - self._retention_s < RETENTION_EVERY_S:
            return
        self._retention_s = now_s
        self.remove_expired()
        recent = {day_of(time.time_ns() // 1000 - shift * DAY_US) for shift in (0, 1)}
        for name, day in self._days.items():
            if day.writes and name not in recent:
                day.close_writer()

    def remove_expired(self) -> list[str]:
        """Removes the days that are to go; their names."""
        today = day_of(time.time_ns() // 1000)
        gone = expired([Day(name, day.size_bytes()) for name, day in self._days.items()], today, self.limits)
        for name in gone:
            self._remove(name)
        return gone

    def remove_day(self, name: str) -> None:
        """Has the index's own thread remove a day, whatever its age. Unknown: nothing."""
        with self._wake:
            self._removals.append(name)
            self._wake.notify_all()

    def _remove(self, name: str) -> None:
        day = self._days.get(name)
        if day is None:
            return
        with self._lock:
            self._days = {other: one for other, one in self._days.items() if other != name}
        day.close_writer()
        shutil.rmtree(self._folder / "days" / name, ignore_errors=True)
        log.info("log index %s removed", name)

    # ---- reading ----------------------------------------------------------------------------------------------------

    def days(self) -> list[DayIndex]:
        """Newest first."""
        return [self._days[name] for name in sorted(self._days, reverse=True)]

    def warning(self) -> str:
        """Why ingest is refused at this moment; "" when it is not."""
        return self.room.refusal(now=True)

    @property
    def sequence(self) -> int:
        """The number of the newest entry that was acknowledged; it only grows."""
        with self._lock:
            return self._acknowledged

    def waiting(self) -> int:
        """Entries that are acknowledged and not visible yet."""
        with self._lock:
            return self._uncommitted

    def refresh(self, timeout_s: float = 30.0) -> bool:
        """Returns once everything acknowledged so far is visible, whatever comes in meanwhile; False when that took
        too long."""
        deadline, wanted = time.monotonic() + timeout_s, self.sequence
        while time.monotonic() < deadline:
            with self._lock:
                if self._indexed >= wanted:
                    return True
            time.sleep(0.01)
        return False


def _source_of(one: Incoming, entry: Indexed) -> bytes:
    """What is kept: the document as it was sent, with a time when it states none."""
    if one.document.get(TIME) is None:
        return msgspec.json.encode({**one.document, TIME: iso(entry.time_us)})
    return one.source or msgspec.json.encode(one.document)


def day_for(time_us: int, received_us: int) -> str:
    """The day's index an entry goes to: its own day's when that is the day it came or the one before, else the day's
    it came: old days are closed."""
    days_late = received_us // DAY_US - time_us // DAY_US
    return day_of(time_us if 0 <= days_late <= 1 else received_us)
