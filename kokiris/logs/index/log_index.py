"""The index of one client: entries in, journalled, indexed by a thread of its own, searched over all days."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kokiris.kernel.errors import BadInput, Busy, KokirisError
from kokiris.logs.documents import indexed
from kokiris.logs.index.day import DayIndex
from kokiris.logs.index.journal import Journal, Record
from kokiris.logs.index.retention import Day, Limits, expired, refusal
from kokiris.logs.index.schema import KEY_STEPS, row_of
from kokiris.logs.model import TIME, Document, Indexed
from kokiris.logs.query.compile import sequence_id
from kokiris.logs.query.tree import Ids
from kokiris.logs.times import DAY_US, day_of, iso

log = logging.getLogger(__name__)

COMMIT_EVERY_S = 1.0
COMMIT_AT_ROWS = 20_000
MAX_PENDING = 60_000
"""Entries that are durable and not visible yet; beyond, senders are asked to wait."""
DISK_CHECK_S = 2.0
RETENTION_EVERY_S = 60.0
RETRIES = 3


@dataclass(frozen=True, slots=True)
class Incoming:
    """A document to be indexed. `identifier` "": one is given to it."""

    document: Document
    identifier: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one: `error` "" is acknowledged, hence durable; `duplicate`: its id is there already."""

    identifier: str
    error: str = ""
    duplicate: bool = False


@dataclass(slots=True)
class _Pending:
    record: Record
    entry: Indexed
    day: str


@dataclass(slots=True)
class Status:
    """For people: `warning` "" when all is well."""

    warning: str = ""
    rejected: int = 0
    acknowledged: int = 0


class LogIndex:
    """`take` may be called from any thread. `start` replays the journal; `stop` commits what is left."""

    def __init__(self, folder: Path, limits: Limits, *, commit_every_s: float = COMMIT_EVERY_S) -> None:
        self._folder = folder
        self.limits = limits
        self._commit_every_s = commit_every_s
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._journal = Journal(folder / "journal")
        self._queue: deque[_Pending] = deque()
        self._uncommitted = 0
        self._ids: set[str] = set()
        self._days: dict[str, DayIndex] = {}
        self._sequence = 0
        self._acknowledged = 0
        """The number of the newest entry that is durable; `_indexed` of the newest that is visible."""
        self._indexed = 0
        self._keys: OrderedDict[int, int] = OrderedDict()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._disk_checked_s = -1e9
        self._retention_s = -1e9
        self._removals: list[str] = []
        self._generation = 0
        self.status = Status()

    # ---- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Opens all days, indexes what the journal still holds, begins to take. Raises HostError."""
        (self._folder / "days").mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted((self._folder / "days").iterdir()):
            if path.is_dir() and len(path.name) == 10:
                self._days[path.name] = DayIndex(path)
        self._sequence = max((day.committed for day in self._days.values()), default=0)
        self._replay()
        self._acknowledged = self._indexed = self._sequence
        self._thread = threading.Thread(target=self._run, name="log index", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Idempotent."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for day in self._days.values():
            day.save_catalogue()
            day.close_writer()
        self._journal.close()

    def _replay(self) -> None:
        replayed = 0
        for record in self._journal.replay():
            self._sequence = max(self._sequence, record.sequence)
            try:
                entry = indexed(msgspec.json.decode(record.source), record.received_us)
            except (BadInput, msgspec.MsgspecError) as error:
                log.warning("journal: entry %d is not indexed: %s", record.sequence, error)
                continue
            pending = _Pending(record, entry, day_for(entry.time_us, record.received_us))
            known = self._days.get(pending.day)
            if known is not None and record.sequence <= known.committed:
                continue
            self._queue.append(pending)
            replayed += 1
        if replayed:
            log.info("journal: %d entries are indexed now", replayed)
        self._commit(self._journal.rotate())

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
            document = (
                one.document if one.document.get(TIME) is not None else {**one.document, TIME: iso(entry.time_us)}
            )
            source = msgspec.json.encode(document)
            size_bytes += len(source)
            accepted.append((number, one, entry, source))
            answers.append(None)
        identifiers = [one.identifier for _, one, _, _ in accepted if one.identifier]
        generation = self._generation
        known = self._known(identifiers)
        with self._wake:
            if self._generation != generation:  # committed meanwhile: what was pending then is found in the days now
                known = self._known(identifiers)
            self._check_room(size_bytes)
            taken = self._number(accepted, known, answers, now_us)
            self._append([one.record for one in taken])
            self._queue.extend(taken)
            self._uncommitted += len(taken)
            self._acknowledged = self._sequence if taken else self._acknowledged
            self._ids.update(one.record.identifier for one in taken if one.record.identifier)
            self.status.acknowledged += len(taken)
            self._wake.notify_all()
        return [answer for answer in answers if answer is not None]

    def _number(
        self,
        accepted: Sequence[tuple[int, Incoming, Indexed, bytes]],
        known: set[str],
        answers: list[Taken | None],
        now_us: int,
    ) -> list[_Pending]:
        taken: list[_Pending] = []
        fresh: set[str] = set()
        for number, one, entry, source in accepted:
            identifier = one.identifier
            if identifier and (identifier in known or identifier in self._ids or identifier in fresh):
                answers[number] = Taken(identifier, "version conflict, document already exists", duplicate=True)
                continue
            fresh.add(identifier)
            self._sequence += 1
            record = Record(self._sequence, now_us, identifier, msgspec.Raw(source))
            taken.append(_Pending(record, entry, day_for(entry.time_us, now_us)))
            answers[number] = Taken(identifier or sequence_id(record.sequence))
        return taken

    def _append(self, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            self._journal.append(records)
        except OSError as error:
            self.status.warning = f"entries cannot be kept: {error.strerror}"
            raise Busy(
                f"log journal {self._folder}: {error.strerror}", next_step="Free disk space; senders try again."
            ) from error

    def _known(self, identifiers: Sequence[str]) -> set[str]:
        """Those of the ids that are committed already."""
        if not identifiers:
            return set()
        found: set[str] = set()
        for day in list(self._days.values()):
            if not day.documents:
                continue
            hits, searcher = day.newest(day.compile(Ids(tuple(identifiers))), len(identifiers))
            found.update(str(searcher.doc(hit.address).get_first("id")) for hit in hits)
        return found

    def _check_room(self, incoming_bytes: int) -> None:
        if self._uncommitted > MAX_PENDING:
            raise Busy(f"log index: {self._uncommitted} entries wait to be indexed", next_step="Send more slowly.")
        now_s = time.monotonic()
        if now_s - self._disk_checked_s > DISK_CHECK_S or incoming_bytes > 1 << 20:
            self._disk_checked_s = now_s
            self._judge_disk(incoming_bytes)
        if self.status.warning:
            raise Busy(self.status.warning, next_step="Free disk space, or lower logs.retention_days.")

    def _judge_disk(self, incoming_bytes: int) -> None:
        usage = shutil.disk_usage(self._folder)
        today = self._days.get(day_of(time.time_ns() // 1000))
        warning = refusal(
            free_bytes=usage.free,
            disk_bytes=usage.total,
            limits=self.limits,
            today_bytes=today.size_bytes() if today is not None and self.limits.size_bytes else 0,
            incoming_bytes=incoming_bytes,
        )
        if warning and not self.status.warning:
            log.error("%s", warning)
        elif self.status.warning and not warning:
            log.info("log ingest goes on")
        self.status.warning = warning

    # ---- indexing: the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(
                    lambda: self._stopping or bool(self._queue or self._removals), timeout=self._commit_every_s
                )
                stopping = self._stopping
            if not stopping:
                self._collect_for(self._commit_every_s)
            with self._wake:
                last = self._journal.rotate() if self._queue else None
            if last is not None:
                self._commit(last)
            if stopping:
                return
            self._upkeep()

    def _collect_for(self, seconds: float) -> None:
        """Waits until a commit is worth it: a second since the first entry, or many of them."""
        with self._wake:
            if self._queue:
                self._wake.wait_for(lambda: self._stopping or len(self._queue) >= COMMIT_AT_ROWS, timeout=seconds)

    def _commit(self, last_journal: int) -> None:
        """Indexes the whole queue, then forgets the journal up to `last_journal`."""
        with self._lock:
            batch = list(self._queue)
            self._queue.clear()
        by_day: dict[str, list[_Pending]] = {}
        for pending in batch:
            by_day.setdefault(pending.day, []).append(pending)
        for name, rows in by_day.items():
            self._index_rows(self._day(name), rows)
        self._journal_done(last_journal, batch)

    def _journal_done(self, last_journal: int, batch: Sequence[_Pending]) -> None:
        with self._lock:
            self._journal.forget(last_journal)
            self._uncommitted = len(self._queue)
            self._indexed = max(self._indexed, batch[-1].record.sequence) if batch else self._indexed
            self._generation += 1
            self._ids.difference_update(one.record.identifier for one in batch)

    def _index_rows(self, day: DayIndex, rows: Sequence[_Pending]) -> None:
        """Retries a failed commit, then looks for the entry that spoils it. Entries stay in the journal meanwhile."""
        for attempt in range(RETRIES):
            try:
                self._add_and_commit(day, rows)
                return
            except (ValueError, OSError) as error:
                day.rollback()
                log.warning("log index %s: %d entries not committed (%s)", day.name, len(rows), error)
                if shutil.disk_usage(self._folder).free < self.limits.min_free_bytes // 4:
                    self.status.warning = f"log index {day.name} cannot be written: {error}"
                    time.sleep(self._commit_every_s)
                elif attempt:
                    break
        if len(rows) == 1:
            self.status.rejected += 1
            log.error("log index %s: entry %d is left out", day.name, rows[0].record.sequence)
            return
        middle = len(rows) // 2
        self._index_rows(day, rows[:middle])
        self._index_rows(day, rows[middle:])

    def _add_and_commit(self, day: DayIndex, rows: Sequence[_Pending]) -> None:
        for one in rows:
            if day.catalogue.add(one.entry, len(bytes(one.record.source))):
                day.catalogue_changed()
            day.add(
                row_of(
                    one.entry,
                    key=self._key(one.entry.time_us),
                    sequence=one.record.sequence,
                    identifier=one.record.identifier,
                    source=bytes(one.record.source),
                    paths=day.paths,
                )
            )
        day.commit(rows[-1].record.sequence)

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
        with self._lock:
            self._judge_disk(0)
            return self.status.warning

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


def day_for(time_us: int, received_us: int) -> str:
    """The day's index an entry goes to: its own day's when that is the day it came or the one before, else the day's
    it came: old days are closed."""
    own, received = day_of(time_us), day_of(received_us)
    return own if own in {received, day_of(received_us - DAY_US)} else received
