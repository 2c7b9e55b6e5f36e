"""What a database is to the platform, and under which key it is stored. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from kokiris.kernel.errors import BadInput, KokirisError
from kokiris.kernel.keys import key, prefix

JOB, NAMESPACE, TASK = "mariadb", "platform", "mariadb"
"""Where MariaDB runs: an add-on's job."""
CLIENT_FILE = "/run/secrets/mariadb/client.cnf"
"""In its container: the client's options with root's credentials, mounted read-only."""
SCRATCH_PREFIX = "kokiris_scratch_"
DEFAULT_KEEP = 7

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_TAKEN = frozenset({"mysql", "sys", "test", "root", "mariadb", "information_schema", "performance_schema"})


class DatabaseError(KokirisError):
    """MariaDB refused something; the message holds its words, never a password."""

    code = "database"
    http_status = 500
    default_next_step = "Look at `kokiris addon status mariadb`, and at what MariaDB said above."


class BadDump(BadInput):
    """MariaDB refused a statement of a dump that is loaded. `line` is where it begins, 1-based; 0 when it is not known.
    `beyond_rights`: it asks for more than the database's own account may do."""

    code = "bad_dump"
    default_next_step = "Correct the dump there and send it again."

    def __init__(
        self, message: str, *, line: int = 0, beyond_rights: bool = False, next_step: str | None = None
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.line = line
        self.beyond_rights = beyond_rights


class Backup(msgspec.Struct, kw_only=True):
    """One dump on disk. `File` is its name in the backups' folder; times are Unix ns."""

    File: str
    At: int
    SizeBytes: int
    SHA256: str
    """Hex, of the file."""
    Tables: dict[str, TableContent]


class TableContent(msgspec.Struct, kw_only=True, frozen=True):
    """What a dump holds of one table."""

    Rows: int
    SHA256: str
    """Hex, of all rows in their order."""


class Outcome(msgspec.Struct, kw_only=True):
    """How the last backup or drill ended."""

    At: int = 0
    """Unix ns; 0: there was none yet."""
    OK: bool = False
    File: str = ""
    Detail: str = ""


class Database(msgspec.Struct, kw_only=True):
    """A database and its account. Its password is in the variable `kokiris/db/<name>` only."""

    Name: str
    User: str
    Namespace: str = "default"
    """Of the variable."""
    CreateTime: int = 0
    Schedule: str = ""
    """Cron, UTC; "": no scheduled backups."""
    ScheduledFrom: int = 0
    """Unix ns; when the schedule was set."""
    Keep: int = DEFAULT_KEEP
    """Newest backups kept; older ones are deleted after a successful one."""
    LastBackup: Outcome = msgspec.field(default_factory=Outcome)
    LastDrill: Outcome = msgspec.field(default_factory=Outcome)


@dataclass(frozen=True, slots=True)
class Keys:
    """`/<client>/<infra>/databases/<name>`."""

    client: str
    infra: str

    @property
    def root(self) -> bytes:
        return prefix(self.client, self.infra, "databases")

    def database(self, name: str) -> bytes:
        """`Database`."""
        return key(self.client, self.infra, "databases", name)


def check_name(name: str) -> str:
    """`name`, if a database may have it. Raises BadInput."""
    if not _NAME.fullmatch(name) or name in _TAKEN or name.startswith("kokiris"):
        shown = "".join(char if char.isprintable() else "?" for char in name[:40])
        raise BadInput(
            f'"{shown}" is no name for a database',
            next_step='Use a small letter, then up to 31 of a-z, 0-9 and _; not "mysql", "test" or "kokiris…".',
        )
    return name
