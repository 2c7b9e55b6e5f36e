"""Reads, on a connection of their own: they never wait for the writer, and see every acknowledged commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TypeVar

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import Batch, Compacted, Event, KeyValue, Range
from kokiris.store.prefixes import prefix_end
from kokiris.store.sqlite.schema import read_meta, revision_of, row_id

T = TypeVar("T")

HISTORY_PAGE_REVISIONS = 256
_COLUMNS = "SELECT kv.key, history.value, kv.create_revision, kv.id FROM kv JOIN history ON history.id = kv.id"


class Reader:
    """One connection, used by one thread. All methods raise StoreError."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._executor = ThreadPoolExecutor(1, "store-reader")

    async def get(self, key: bytes) -> KeyValue | None:
        """See `Store.get`."""
        return await self._run(lambda: self._get(key))

    async def range(self, prefix: bytes) -> Range:
        """See `Store.range`."""
        return await self._run(lambda: self._range(prefix))

    async def history(self, prefix: bytes, first: int, last: int) -> list[Batch]:
        """The commits from revision `first` to `last`, at most HISTORY_PAGE_REVISIONS of them; the newest is given
        even when it has nothing under `prefix`. Raises Compacted when `first` is no longer there."""
        last = min(last, first + HISTORY_PAGE_REVISIONS - 1)
        return await self._run(lambda: self._history(prefix, first, last))

    def close(self) -> None:
        """Waits for running reads."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._connection.close()

    async def _run(self, read: Callable[[], T]) -> T:
        def transaction() -> T:
            self._connection.execute("BEGIN")
            try:
                return read()
            finally:
                self._connection.execute("COMMIT")

        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, transaction)
        except sqlite3.Error as error:
            raise StoreError(f"the store could not be read: {error}") from error
        except RuntimeError as error:  # the executor was shut down
            raise StoreError("the store is closed") from error

    def _get(self, key: bytes) -> KeyValue | None:
        row = self._connection.execute(f"{_COLUMNS} WHERE kv.key = ?", (key,)).fetchone()
        return _key_value(row) if row else None

    def _range(self, prefix: bytes) -> Range:
        end = prefix_end(prefix)
        bounds, arguments = ("", (prefix,)) if end is None else (" AND kv.key < ?", (prefix, end))
        rows = self._connection.execute(f"{_COLUMNS} WHERE kv.key >= ?{bounds} ORDER BY kv.key", arguments)
        items = [_key_value(row) for row in rows]
        return Range(read_meta(self._connection, "revision"), items)

    def _history(self, prefix: bytes, first: int, last: int) -> list[Batch]:
        if first <= read_meta(self._connection, "compacted"):
            raise Compacted
        rows = self._connection.execute(
            "SELECT id, key, value, create_revision FROM history WHERE id >= ? AND id < ? ORDER BY id",
            (row_id(first), row_id(last + 1)),
        )
        batches = []
        for revision, group in groupby(rows, key=lambda row: revision_of(row[0])):
            events = [
                Event(key, value, created, revision) for _, key, value, created in group if key.startswith(prefix)
            ]
            if events:
                batches.append(Batch(revision, events))
        if not batches or batches[-1].revision < last:
            batches.append(Batch(last, ()))
        return batches


def _key_value(row: tuple[bytes, bytes, int, int]) -> KeyValue:
    key, value, created, identifier = row
    return KeyValue(key, value, created, revision_of(identifier))
