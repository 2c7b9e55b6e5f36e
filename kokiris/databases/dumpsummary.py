"""What a dump holds, read from its own text while it streams by: rows and a digest per table. Pure.

mariadb-dump writes each row on a line of its own and escapes line ends in values, so that two dumps of the same
content have the same lines; how rows are grouped into INSERTs does not count.
"""

from __future__ import annotations

import hashlib
import re

from kokiris.databases.model import TableContent

_CREATE, _INSERT = b"CREATE TABLE `", b"INSERT INTO `"
_KEPT, _SET_BACK = b"@OLD_SQL_NOTES=@@SQL_NOTES", b"SQL_NOTES=@OLD_SQL_NOTES"
_EDGE_BYTES = 4096
_NAME_LENGTH = 60
_VALUE = re.compile(r"['\"(=]")


class DumpSummary:
    """Fed with chunks of a dump."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._tables: dict[str, int] = {}
        self._digests: dict[str, hashlib._Hash] = {}
        self._inserting = ""

    def feed(self, chunk: bytes) -> None:
        """The next bytes; lines may be cut anywhere."""
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            self._rest.append(chunk)
            return
        for line in b"".join([*self._rest, head]).split(b"\n"):
            self._line(line)
        self._rest = [tail]

    def tables(self) -> dict[str, TableContent]:
        """All tables seen so far."""
        return {
            table: TableContent(Rows=rows, SHA256=self._digests[table].hexdigest())
            for table, rows in self._tables.items()
        }

    def _line(self, line: bytes) -> None:
        if self._inserting:
            if line.startswith(b"("):
                self._tables[self._inserting] += 1
                self._digests[self._inserting].update(line.rstrip(b",;") + b"\n")
            if line.endswith(b";"):
                self._inserting = ""
        elif line.startswith(_CREATE):
            table = _quoted(line[len(_CREATE) :])
            self._tables.setdefault(table, 0)
            self._digests.setdefault(table, hashlib.sha256())
        elif line.startswith(_INSERT):
            table = _quoted(line[len(_INSERT) :])
            self._inserting = table if table in self._tables and line.endswith(b"VALUES") else ""


class DumpEnd:
    """Whether a dump is there to its end, as far as it can be seen: mariadb-dump and mysqldump keep the session's
    settings in their first lines and set them back in their last ones. Fed with chunks."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """The next bytes."""
        if len(self._head) < _EDGE_BYTES:
            self._head += chunk[: _EDGE_BYTES - len(self._head)]
        self._tail = (self._tail + chunk[-_EDGE_BYTES:])[-_EDGE_BYTES:]

    @property
    def is_missing(self) -> bool:
        """True for a dump that broke off. False for a whole one, and for SQL that says nothing about its end."""
        return _KEPT in self._head and _SET_BACK not in self._tail


def statement_name(line: bytes) -> str:
    """A statement as an error may show it: its first words, without any value (the rows of a dump are nobody's
    business in a log). "" when there are none."""
    text = "".join(one if one.isprintable() else " " for one in line[:_EDGE_BYTES].decode(errors="replace"))
    words = _VALUE.split(text, maxsplit=1)[0][:_NAME_LENGTH].strip()
    return words if words == text.strip() or not words else f"{words}…"


def _quoted(after: bytes) -> str:
    """The identifier up to its closing backquote; doubled ones are part of it."""
    return after.replace(b"``", b"\0").partition(b"`")[0].replace(b"\0", b"`").decode(errors="replace")


def difference(wanted: dict[str, TableContent], found: dict[str, TableContent]) -> str:
    """In words, what `found` lacks of `wanted`; "" when they are the same."""
    problems = [f"table {one} is missing" for one in sorted(wanted.keys() - found.keys())]
    problems += [f"table {one} is not in the backup" for one in sorted(found.keys() - wanted.keys())]
    for table in sorted(wanted.keys() & found.keys()):
        if wanted[table].Rows != found[table].Rows:
            problems.append(f"table {table} has {found[table].Rows} rows instead of {wanted[table].Rows}")
        elif wanted[table].SHA256 != found[table].SHA256:
            problems.append(f"table {table} has other content")
    return "; ".join(problems[:5])
