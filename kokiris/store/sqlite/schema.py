"""The file: its tables, how it is opened, and the lock that keeps it to one process.

`history` holds every change, values included, in order; `kv` points at the newest one of each live key. So a value is
written once, a watch is read back from `history`, and compaction only drops what no key points at.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from kokiris.kernel.errors import HostError

FORMAT = 1
FIRST_REVISION = 1
"""The revision of an empty store (as etcd's)."""
ORDINAL_BITS = 20
"""`history.id` is revision << ORDINAL_BITS | position of the key in its commit: row order is event order."""

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    value BLOB,
    create_revision INTEGER NOT NULL,
    previous INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS kv (
    key BLOB PRIMARY KEY,
    id INTEGER NOT NULL,
    create_revision INTEGER NOT NULL,
    lease_id INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS kv_by_lease ON kv (lease_id) WHERE lease_id != 0;
CREATE TABLE IF NOT EXISTS leases (lease_id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_ms INTEGER NOT NULL);
"""


def row_id(revision: int, ordinal: int = 0) -> int:
    """The `history.id` of the `ordinal`-th change of `revision`."""
    return revision << ORDINAL_BITS | ordinal


def revision_of(identifier: int) -> int:
    """The revision a `history.id` belongs to."""
    return identifier >> ORDINAL_BITS


def acquire_lock(folder: Path) -> int:
    """Takes the folder for this process until the returned descriptor is closed. HostError names who has it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(f"store {folder} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise HostError(
            f"store {folder} is in use by process {owner}", next_step="Stop that process, or use its API instead."
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def connect(file: Path, *, writer: bool) -> sqlite3.Connection:
    """A connection that outlives a crash: WAL, and (for the writer) a flush to disk with every commit."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA cache_size=-16384")
    if not writer:
        connection.execute("PRAGMA query_only=ON")
    else:
        connection.execute("PRAGMA journal_size_limit=67108864")
    return connection


def prepare(connection: sqlite3.Connection, file: Path) -> None:
    """Creates the tables in a new file. HostError when the file was written by another version."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('revision', ?)", (FIRST_REVISION,))
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('compacted', 0)")
    connection.execute("COMMIT")
    found = read_meta(connection, "format")
    if found != FORMAT:
        raise HostError(
            f"store {file} has format {found}, this version reads {FORMAT}",
            next_step="Run the version of kokiris that wrote it.",
        )


def read_meta(connection: sqlite3.Connection, name: str) -> int:
    """A number of the `meta` table: format, revision, compacted (history up to there may be incomplete)."""
    (value,) = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return int(value)
