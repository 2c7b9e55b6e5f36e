"""MariaDB through its own client programs: statements, dumps out, dumps in. Secrets go by standard input only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from kokiris.databases.host import Host, Session
from kokiris.databases.model import CLIENT_FILE, BadDump, DatabaseError
from kokiris.kernel.errors import Unavailable

STATEMENT_TIMEOUT_S = 60.0
CHUNK_BYTES = 64 * 1024
_MESSAGE_LIMIT = 300

_ERROR = re.compile(r"ERROR(?: (?P<code>\d+) \(\w+\))?(?: at line (?P<line>\d+))?: (?P<words>.*)", re.DOTALL)
_OF_THE_SERVER = frozenset({1021, 1030, 1037, 1038, 1040, 1041, 1053, 1114, 1135, 1205, 1213, 1317, 1927})
"""Its disk, its memory, its end, its locks: the statement itself may be fine. So may it be with the client's own codes,
from 2000 on, which are about the connection."""
_BEYOND_RIGHTS = frozenset({1044, 1045, 1095, 1142, 1143, 1227, 1370, 1419})
_CLIENT_CODES = range(2000, 3000)

_LOAD = """
IFS= read -r user; IFS= read -r password
file=$(mktemp) || exit 1
trap 'rm -f "$file"' EXIT
chmod 600 "$file"
printf '[client]\\nuser=%s\\npassword=%s\\n' "$user" "$password" > "$file"
"$1" --defaults-file="$file" --socket="$2" --protocol=socket --batch --sandbox --local-infile=0 \\
  --default-character-set=utf8mb4 --max-allowed-packet=1G "$3"
"""
"""Run by sh. The account comes first on standard input, then the dump. `--sandbox`: what a dump says about files and
shells is refused; it runs with the account's own rights, never root's."""


@dataclass(frozen=True, slots=True)
class Account:
    """Of one database."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Account({self.user})"


class MariaDb:
    """`client_file`: options of root's connection, beside the server; `socket`: the server's."""

    def __init__(self, host: Host, *, client_file: str = CLIENT_FILE, socket: str = "/run/mysqld/mysqld.sock") -> None:
        self._host = host
        self._client_file = client_file
        self._socket = socket

    async def sql(self, statements: str, *, hide: str = "", database: str = "") -> list[list[str]]:
        """Rows of what the statements answer. `hide` is a secret in them: it is cut out of errors.

        Raises DatabaseError with MariaDB's words, Unavailable when it cannot be reached.
        """
        command = ["mariadb", f"--defaults-extra-file={self._client_file}", "--batch", "--skip-column-names"]
        command += [database] if database else []
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S), self._host.run(command) as session:
                await session.write(statements.encode())
                await session.close_input()
                out, said = await _collect(session)
                code = session.exit_code
        except TimeoutError as error:
            raise Unavailable(f"MariaDB did not answer within {STATEMENT_TIMEOUT_S:.0f} s") from error
        if code != 0:
            raise _refused(said, hide)
        return [line.split("\t") for line in out.decode(errors="replace").splitlines()]

    async def dump(self, database: str, *, whole: bool = True) -> AsyncIterator[bytes]:
        """The dump of one database, consistent at one moment, without names of databases in it.

        Raises DatabaseError at its end unless it is whole; with `whole` False, what cannot be dumped (a view on a table
        that is gone) is left out.
        """
        command = [
            "mariadb-dump", f"--defaults-extra-file={self._client_file}", "--single-transaction", "--quick",
            "--routines", "--triggers", "--events", "--hex-blob", "--skip-comments", "--no-autocommit",
            "--skip-add-locks", "--default-character-set=utf8mb4", "--max-allowed-packet=1G",
            *([] if whole else ["--force"]), database,
        ]  # fmt: skip
        said = b""
        async with self._host.run(command) as session:
            await session.close_input()
            async for stream, data in session.output():
                if stream == "stdout":
                    yield data
                else:
                    said += data[: _MESSAGE_LIMIT - len(said)]
            if whole and session.exit_code != 0:
                raise _refused(said)

    async def load(self, database: str, account: Account, dump: AsyncIterator[bytes]) -> None:
        """Executes a dump in `database` with the account's rights; stops at the first error.

        Raises BadDump for a statement that is refused, DatabaseError for everything else, both with MariaDB's words;
        what came before the error stays.
        """
        command = ["sh", "-c", _LOAD, "load", "mariadb", self._socket, database]
        async with self._host.run(command) as session:
            reading = asyncio.create_task(_collect(session))
            try:
                await session.write(f"{account.user}\n{account.password}\n".encode())
                await _feed(session, dump, reading)
                _, said = await reading
            finally:
                reading.cancel()
            if session.exit_code != 0:
                raise _not_loaded(said, account.password)


async def _feed(session: Session, dump: AsyncIterator[bytes], ended: asyncio.Task[tuple[bytes, bytes]]) -> None:
    """Until all is written or the command has ended: then its own words say why."""
    try:
        async for chunk in dump:
            if ended.done():
                return
            await session.write(chunk)
        await session.close_input()
    except Unavailable:
        if not (await asyncio.wait({ended}, timeout=STATEMENT_TIMEOUT_S))[0]:
            raise


async def _collect(session: Session) -> tuple[bytes, bytes]:
    found = {"stdout": bytearray(), "stderr": bytearray()}
    async for stream, data in session.output():
        found[stream] += data
    return bytes(found["stdout"]), bytes(found["stderr"])


def _words(said: bytes, hide: str = "") -> str:
    text = "".join(one if one.isprintable() else " " for one in said.decode(errors="replace"))
    words = (text[text.find("ERROR") :] if "ERROR" in text else text).strip() or "no reason given"
    return (words.replace(hide, "…") if hide else words)[:_MESSAGE_LIMIT]


def _refused(said: bytes, hide: str = "") -> DatabaseError:
    return DatabaseError(f"MariaDB: {_words(said, hide)}")


def _not_loaded(said: bytes, hide: str) -> BadDump | DatabaseError:
    """Before the first statement the client says no line; what it refuses itself (`--sandbox`) has no code."""
    found = _ERROR.match(_words(said, hide))
    if found is None or (found["code"] and not found["line"]):
        return _refused(said, hide)
    code, line = int(found["code"] or 0), int(found["line"] or 0)
    if code in _OF_THE_SERVER or code in _CLIENT_CODES:
        return _refused(said, hide)
    numbered = f"ERROR {code}: {found['words']}" if code else found["words"]
    beyond_rights = code in _BEYOND_RIGHTS or "sandbox" in found["words"]
    return BadDump(f"MariaDB: {numbered}", line=line, beyond_rights=beyond_rights)
