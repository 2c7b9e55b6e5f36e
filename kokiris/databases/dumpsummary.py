"""What a dump holds, read from its own text while it streams by: rows and a digest per table. Pure.

mariadb-dump writes each row on a line of its own and escapes line ends in values, so that two dumps of the same
content have the same lines; how rows are grouped into INSERTs does not count.
"""

from __future__ import annotations

import hashlib

from kokiris.databases.model import TableContent

_CREATE, _INSERT = b"CREATE TABLE `", b"INSERT INTO `"


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
