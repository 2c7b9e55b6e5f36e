"""What the writer is asked to do, and doing it inside an open transaction. Knows SQL, nothing of threads or loops."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import CommitResult, Condition, Event
from kokiris.store.sqlite.schema import revision_of, row_id


@dataclass(frozen=True, slots=True)
class Commit:
    """See `Store.commit`. `lease_id` 0: no lease."""

    conditions: Sequence[Condition]
    puts: Mapping[bytes, bytes]
    deletes: Sequence[bytes]
    lease_id: int


@dataclass(frozen=True, slots=True)
class Grant:
    """A new lease; `Outcome.lease_id` names it."""

    ttl_ms: int


@dataclass(frozen=True, slots=True)
class EndLease:
    """Forgets the lease and deletes its keys, in one commit. No change if it is not there."""

    lease_id: int


Request = Commit | Grant | EndLease


@dataclass(slots=True)
class Outcome:
    """What one request did. `events` in key order; empty: the revision did not move."""

    result: CommitResult
    events: list[Event] = field(default_factory=list)
    lease_id: int = 0


def apply(connection: sqlite3.Connection, request: Request, revision: int) -> Outcome:
    """Does `request` on top of `revision`. Raises StoreError (lease gone) or sqlite3.Error; the caller rolls back."""
    if isinstance(request, Grant):
        cursor = connection.execute("INSERT INTO leases (ttl_ms) VALUES (?)", (request.ttl_ms,))
        return Outcome(CommitResult(True, revision), lease_id=int(cursor.lastrowid or 0))
    if isinstance(request, EndLease):
        keys = connection.execute("SELECT key FROM kv WHERE lease_id = ?", (request.lease_id,)).fetchall()
        connection.execute("DELETE FROM leases WHERE lease_id = ?", (request.lease_id,))
        return _change(connection, {}, [key for (key,) in keys], 0, revision)
    if not all(_holds(connection, condition) for condition in request.conditions):
        return Outcome(CommitResult(False, revision))
    if request.lease_id and request.puts:
        found = connection.execute("SELECT 1 FROM leases WHERE lease_id = ?", (request.lease_id,)).fetchone()
        if found is None:
            raise lease_gone(request.lease_id)
    return _change(connection, request.puts, request.deletes, request.lease_id, revision)


def lease_gone(lease_id: int) -> StoreError:
    """The error of a commit that names a lease which has expired or was revoked; nothing was written."""
    return StoreError(f"lease {lease_id} has expired", next_step="Take a new lease and write its keys again.")


def _holds(connection: sqlite3.Connection, condition: Condition) -> bool:
    row = connection.execute("SELECT id FROM kv WHERE key = ?", (condition.key,)).fetchone()
    return (revision_of(row[0]) if row else 0) == condition.mod_revision


def _change(
    connection: sqlite3.Connection,
    puts: Mapping[bytes, bytes],
    deletes: Iterable[bytes],
    lease_id: int,
    revision: int,
) -> Outcome:
    """Writes history and index rows of one commit, as `revision` + 1 if there is any change."""
    following = revision + 1
    events: list[Event] = []
    for key in sorted({*puts, *deletes}):
        row = connection.execute("SELECT id, create_revision FROM kv WHERE key = ?", (key,)).fetchone()
        identifier = row_id(following, len(events))
        if key in puts:
            previous, created = row or (0, following)
            connection.execute(
                "INSERT INTO history VALUES (?, ?, ?, ?, ?)", (identifier, key, puts[key], created, previous)
            )
            connection.execute("INSERT OR REPLACE INTO kv VALUES (?, ?, ?, ?)", (key, identifier, created, lease_id))
            events.append(Event(key, puts[key], created, following))
        elif row is not None:
            connection.execute("INSERT INTO history VALUES (?, ?, NULL, 0, ?)", (identifier, key, row[0]))
            connection.execute("DELETE FROM kv WHERE key = ?", (key,))
            events.append(Event(key, None, 0, following))
    return Outcome(CommitResult(True, following if events else revision), events)


def compact(connection: sqlite3.Connection, compacted: int, target: int) -> None:
    """Drops history up to revision `target`, given that it was already dropped up to `compacted`.

    What a change up to there replaced is dropped, and deletions up to there; the newest value of a key stays.
    """
    bounds = (row_id(compacted + 1), row_id(target + 1))
    connection.execute(
        "DELETE FROM history WHERE id IN (SELECT previous FROM history WHERE id >= ? AND id < ? AND previous != 0)",
        bounds,
    )
    connection.execute("DELETE FROM history WHERE id >= ? AND id < ? AND value IS NULL", bounds)
    connection.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (target,))
