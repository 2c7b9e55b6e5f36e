"""`SqliteStore`: the contract on one file. Loop-side glue between writer, reader, feed and lease timers."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from kokiris.kernel.errors import HostError, StoreError
from kokiris.store.contract import Batch, CommitResult, Condition, KeyValue, Lease, Range
from kokiris.store.limits import check_commit
from kokiris.store.sqlite.feed import Feed
from kokiris.store.sqlite.reader import Reader
from kokiris.store.sqlite.requests import Commit, EndLease, Grant, Outcome
from kokiris.store.sqlite.schema import acquire_lock, connect, prepare, read_meta
from kokiris.store.sqlite.writer import Writer

log = logging.getLogger(__name__)

KEEP_REVISIONS = 100_000
"""How many revisions a watch can go back."""
EXPIRY_RETRY_S = 1.0


class SqliteLease:
    """See `Lease`. Time is the loop's monotonic clock: a step of the wall clock ends nothing."""

    def __init__(self, store: SqliteStore, lease_id: int, ttl_s: float) -> None:
        self._store = store
        self.lease_id = lease_id
        self.ttl_s = ttl_s

    async def keep_alive(self) -> bool:
        return self._store.renew(self.lease_id, self.ttl_s)

    async def revoke(self) -> None:
        await self._store.end_lease(self.lease_id)


class SqliteStore:
    """See `Store`. Made by `open`; belongs to the event loop it was opened in."""

    def __init__(
        self, lock: int, writing: sqlite3.Connection, reading: sqlite3.Connection, keep_revisions: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = lock
        self._closed = False
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._expiring: set[asyncio.Task[None]] = set()
        self._feed = Feed(read_meta(writing, "revision"))
        leases = writing.execute("SELECT lease_id, ttl_ms FROM leases").fetchall()
        self._reader = Reader(reading)
        self._writer = Writer(writing, self._loop, self._committed, keep_revisions)
        for lease_id, ttl_ms in leases:  # their holders had no chance to renew while we were away
            self._arm(lease_id, ttl_ms / 1000)

    @classmethod
    async def open(cls, folder: Path, *, keep_revisions: int = KEEP_REVISIONS) -> SqliteStore:
        """Opens or creates the store in `folder` (0700), for this process alone.

        Raises HostError when another process has it, the disk refuses, or the file is of another version.
        """
        lock = acquire_lock(folder)
        file = folder / "kokiris.db"
        opened: list[sqlite3.Connection] = []
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # never readable by others, not even for a moment
            opened.append(connect(file, writer=True))
            prepare(opened[0], file)
            opened.append(connect(file, writer=False))
            return cls(lock, opened[0], opened[1], keep_revisions)
        except BaseException as error:
            for connection in opened:
                connection.close()
            os.close(lock)
            if isinstance(error, (sqlite3.Error, OSError)):
                raise HostError(f"store {file} cannot be opened: {error}") from error
            raise

    async def get(self, key: bytes) -> KeyValue | None:
        return await self._reader.get(key)

    async def range(self, prefix: bytes) -> Range:
        return await self._reader.range(prefix)

    async def commit(
        self,
        conditions: Sequence[Condition] = (),
        puts: Mapping[bytes, bytes] | None = None,
        deletes: Sequence[bytes] = (),
        *,
        lease: Lease | None = None,
    ) -> CommitResult:
        check_commit(conditions, puts or {}, deletes)
        lease_id = lease.lease_id if lease is not None else 0
        request = Commit(tuple(conditions), dict(puts or {}), tuple(deletes), lease_id)
        return (await self._writer.submit(request)).result

    async def watch(self, prefix: bytes, from_revision: int) -> AsyncIterator[Batch]:
        subscription = self._feed.subscribe(prefix)
        following = from_revision
        try:
            while not self._closed:
                live_after = subscription.restart()
                while following <= live_after:
                    for batch in await self._reader.history(prefix, following, live_after):
                        yield batch
                        following = batch.revision + 1
                while (batches := await subscription.take()) is not None:
                    for batch in batches:
                        if batch.revision >= following:
                            yield batch
                            following = batch.revision + 1
        finally:
            subscription.close()

    async def lease(self, ttl_s: float) -> SqliteLease:
        outcome = await self._writer.submit(Grant(math.ceil(ttl_s * 1000)))
        self._arm(outcome.lease_id, ttl_s)
        return SqliteLease(self, outcome.lease_id, ttl_s)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._feed.close()
        await self._loop.run_in_executor(None, self._writer.close)
        await self._loop.run_in_executor(None, self._reader.close)
        os.close(self._lock)

    def renew(self, lease_id: int, ttl_s: float) -> bool:
        """Gives the lease another `ttl_s`. False: it has expired."""
        if self._closed:
            raise StoreError("the store is closed")
        if lease_id not in self._timers:
            return False
        self._arm(lease_id, ttl_s)
        return True

    async def end_lease(self, lease_id: int) -> None:
        """Deletes the lease and its keys; a lease that is not there is no error."""
        timer = self._timers.pop(lease_id, None)
        if timer is not None:
            timer.cancel()
        await self._writer.submit(EndLease(lease_id))

    def _committed(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._feed.publish(outcome.result.revision, outcome.events)

    def _arm(self, lease_id: int, ttl_s: float) -> None:
        timer = self._timers.get(lease_id)
        if timer is not None:
            timer.cancel()
        self._timers[lease_id] = self._loop.call_later(ttl_s, self._expire, lease_id)

    def _expire(self, lease_id: int) -> None:
        """Out of time: from here on `renew` says so, whatever the disk does."""
        self._timers.pop(lease_id, None)
        task = self._loop.create_task(self._end_expired(lease_id))
        self._expiring.add(task)
        task.add_done_callback(self._expiring.discard)

    async def _end_expired(self, lease_id: int) -> None:
        while not self._closed:
            try:
                await self._writer.submit(EndLease(lease_id))
                return
            except StoreError as error:
                log.warning("store: expired lease %d could not be ended yet: %s", lease_id, error)
                await asyncio.sleep(EXPIRY_RETRY_S)
