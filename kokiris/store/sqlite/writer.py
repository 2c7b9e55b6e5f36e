"""The one thread that writes. Whatever waits when it turns up goes into one transaction and one flush to disk."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kokiris.kernel.errors import KokirisError, StoreError
from kokiris.store.sqlite import requests
from kokiris.store.sqlite.requests import Outcome, Request
from kokiris.store.sqlite.schema import read_meta

log = logging.getLogger(__name__)

MAX_BATCH = 1024
"""Requests in one transaction: bounds how long the first of them waits for the last."""
COMPACTION_SLACK = 64
"""Revisions that may pile up over what is kept before compaction starts, so that it works in strides."""


@dataclass(slots=True)
class _Waiting:
    request: Request
    future: asyncio.Future[Outcome]


Answer = tuple[asyncio.Future[Outcome], Outcome | KokirisError]


class Writer:
    """Owns the writing connection. `submit` belongs to the event loop, all else to the thread.

    `committed` is called in the loop with the outcomes of a batch that changed something, in revision order, before
    any of their futures is resolved.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        committed: Callable[[Sequence[Outcome]], None],
        keep_revisions: int,
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._committed = committed
        self._keep_revisions = keep_revisions
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> asyncio.Future[Outcome]:
        """Resolved once the request is on disk; fails with StoreError when it is not."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        with self._lock:
            if self._closing:
                raise StoreError("the store is closed")
            self._waiting.append(_Waiting(request, future))
        self._wake.set()
        return future

    def close(self) -> None:
        """Finishes what was submitted, then ends the thread (blocking) and closes the connection."""
        with self._lock:
            self._closing = True
        self._wake.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            with self._lock:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                if not self._waiting:
                    self._wake.clear()
                if not batch and self._closing:
                    return
                if self._closing:
                    self._wake.set()
            if batch:
                self._answer(self._write(batch))

    def _write(self, batch: Sequence[_Waiting]) -> list[Answer]:
        """One transaction. Never raises: what goes wrong becomes the answer of whom it concerns."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            before = revision = read_meta(self._connection, "revision")
            answers: list[Answer] = []
            for waiting in batch:
                answer = self._apply(waiting.request, revision)
                answers.append((waiting.future, answer))
                if isinstance(answer, Outcome):
                    revision = answer.result.revision
            if revision != before:
                self._connection.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (revision,))
                self._compact(before, revision)
            self._connection.execute("COMMIT")
        except Exception as error:  # the thread must outlive whatever happens
            self._roll_back()
            log.error("store: a batch of %d requests was not written: %s", len(batch), error)
            failure = StoreError(f"the store could not write: {error}", next_step="Check the disk of the data folder.")
            return [(waiting.future, failure) for waiting in batch]
        return answers

    def _apply(self, request: Request, revision: int) -> Outcome | KokirisError:
        """One request in its own savepoint, so that its failure leaves the others of the batch alone."""
        self._connection.execute("SAVEPOINT request")
        try:
            outcome = requests.apply(self._connection, request, revision)
        except KokirisError as error:
            self._connection.execute("ROLLBACK TO request")
            self._connection.execute("RELEASE request")
            return error
        except Exception as error:
            if not self._connection.in_transaction:  # SQLite gave up the whole transaction, not only this statement
                raise
            self._connection.execute("ROLLBACK TO request")
            self._connection.execute("RELEASE request")
            return StoreError(f"the store could not write: {error}", next_step="Check the disk of the data folder.")
        self._connection.execute("RELEASE request")
        return outcome

    def _compact(self, before: int, revision: int) -> None:
        """Twice as many old revisions as were just written, at least: steady, and it catches up."""
        compacted = read_meta(self._connection, "compacted")
        target = revision - self._keep_revisions
        if target - compacted >= COMPACTION_SLACK:
            stride = max(2 * (revision - before), 2 * COMPACTION_SLACK)
            requests.compact(self._connection, compacted, min(target, compacted + stride))

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                log.exception("store: rollback failed")

    def _answer(self, answers: Sequence[Answer]) -> None:
        def in_loop() -> None:
            changed = [answer for _, answer in answers if isinstance(answer, Outcome) and answer.events]
            try:
                if changed:
                    self._committed(changed)
            finally:
                for future, answer in answers:
                    _resolve(future, answer)

        try:
            self._loop.call_soon_threadsafe(in_loop)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("store: answers of %d requests had no loop to go to", len(answers))


def _resolve(future: asyncio.Future[Outcome], answer: Outcome | KokirisError) -> None:
    if future.done():  # its task was cancelled; the write stands all the same
        return
    if isinstance(answer, Outcome):
        future.set_result(answer)
    else:
        future.set_exception(answer)
