"""`kokiris db …`: databases of the infra's MariaDB."""

from __future__ import annotations

import gzip
import http.client
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from kokiris.cli.client import Client, segment
from kokiris.cli.flags import Command, Group, flag, value
from kokiris.cli.output import ago, as_json, note, say, table, when
from kokiris.cli.session import namespace_option, open_client
from kokiris.databases.model import check_name
from kokiris.kernel.clock import wall_ns
from kokiris.kernel.errors import BadInput, Unavailable

LONG_S = 3600.0
"""Dumps and restores of large databases take their time."""


@click.group("db", cls=Group)
def db_group() -> None:
    """Databases: make, back up, restore, prove."""


def _path(name: str, verb: str = "") -> str:
    """Raises BadInput for what is no name of a database."""
    check_name(name)
    return f"/v1/database/{segment(name)}{f'/{verb}' if verb else ''}"


def _confirmed(question: str, yes: bool) -> None:
    """Raises BadInput without a yes; scripts give -yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput(f"{question} needs a yes", next_step="Give -yes.")
    click.confirm(question, abort=True, err=True)


@click.command("create", cls=Command, examples="kokiris db create shop")
@click.argument("name")
@namespace_option
def create_command(name: str, namespace: str) -> None:
    """Makes a database, an account of the same name, and a variable with its password."""
    given = namespace or os.environ.get("NOMAD_NAMESPACE", "") or "default"
    made = open_client().put(_path(name), {"Namespace": given}).data
    say(f'Database "{name}" is ready. Its account is in variable {made["Variable"]} of namespace {given}.')
    wanted = f'meta {{ database = "{name}" }}'
    note(f'A job gets it with {wanted} and {{{{ with nomadVar "{made["Variable"]}" }}}} in a template.')


@click.command("list", cls=Command, examples="kokiris db list")
@flag("json", "As JSON.")
def list_command(json: bool) -> None:
    """Lists the databases with their last backup, their last restore drill, and the jobs that use them."""
    found = open_client().get("/v1/databases").data
    if json:
        as_json(found)
    elif not found:
        note("No databases. Make one: kokiris db create NAME")
    else:
        say(database_table(found, wall_ns()))


def database_table(found: list[dict[str, Any]], now_ns: int) -> str:
    """A row a database. Pure."""
    rows: list[tuple[object, ...]] = [("Name", "Size", "Backups", "Last backup", "Schedule", "Last drill", "Jobs")]
    for one in found:
        database = one["Database"]
        rows.append(
            (
                database["Name"],
                f"{one['SizeBytes'] / 2**20:.1f} MiB" if one["SizeBytes"] >= 0 else "unknown",
                one["Backups"],
                outcome(database["LastBackup"], now_ns),
                database["Schedule"] or "-",
                outcome(database["LastDrill"], now_ns),
                ", ".join(one["Jobs"]) or "-",
            )
        )
    return table(rows)


def outcome(last: dict[str, Any], now_ns: int) -> str:
    """ "ok 3h ago", "FAILED 3h ago: why", "never". Pure."""
    if not last["At"]:
        return "never"
    if last["OK"]:
        return f"ok {ago(last['At'], now_ns)}"
    return f"FAILED {ago(last['At'], now_ns)}: {last['Detail'][:80]}"


@click.command("drop", cls=Command, examples="kokiris db drop -yes shop")
@click.argument("name")
@flag("yes", "Do not ask.")
def drop_command(name: str, yes: bool) -> None:
    """Deletes a database, its account and its variable. Backups stay."""
    client = open_client()
    jobs = client.get(_path(name)).data["Jobs"]
    used = f", which is used by {', '.join(jobs)}," if jobs else ""
    _confirmed(f'Delete database "{name}"{used} and all that is in it?', yes)
    client.request("DELETE", _path(name))
    say(f'Database "{name}" is gone; its backups are kept.')


@click.command("rotate", cls=Command, examples="kokiris db rotate shop")
@click.argument("name")
def rotate_command(name: str) -> None:
    """Gives its account a new password; jobs get it through their templates."""
    open_client().put(_path(name, "rotate"))
    say(f'The account of database "{name}" has a new password; the old one is refused.')


@click.command("dump", cls=Command, examples="kokiris db dump shop > shop.sql\nkokiris db dump -o shop.sql shop")
@click.argument("name")
@value("o", "Write to a file, whole or not at all.", metavar="FILE")
def dump_command(name: str, o: str) -> None:
    """Writes the database as SQL, consistent at one moment."""
    chunks = open_client().stream(_path(name, "dump"), {})
    if o:
        size_bytes = _write_whole(Path(o), _whole(chunks))
        note(f"{o}: {size_bytes} bytes")
        return
    for chunk in _whole(chunks):
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _whole(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Raises Unavailable when the stream breaks off."""
    try:
        yield from chunks
    except (http.client.HTTPException, OSError) as error:
        raise Unavailable("the dump broke off: it is not whole", next_step="Look at `kokiris addon status`.") from error


def _write_whole(target: Path, chunks: Iterator[bytes]) -> int:
    partial = target.with_name(f".{target.name}.partial")
    size_bytes = 0
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for chunk in chunks:
                size_bytes += file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return size_bytes


@click.command(
    "restore", cls=Command,
    examples="kokiris db restore shop\nkokiris db restore -backup 20260101T020000.000Z.sql.gz shop\n"
    "kokiris db restore -file shop.sql shop",
)  # fmt: skip
@click.argument("name")
@value("backup", "Which backup (default: the newest).", metavar="NAME")
@value("file", "A dump of your own instead; - is standard input.", metavar="FILE")
@flag("yes", "Do not ask.")
def restore_command(name: str, backup: str, file: str, yes: bool) -> None:
    """Puts a backup's content in place of the database's. It is tried in a scratch database first, and what was there
    is backed up."""
    client = open_client()
    client.get(_path(name))
    _confirmed(f'Replace all that is in database "{name}"?', yes)
    if file and backup:
        raise BadInput("-file and -backup exclude each other", next_step="Give one of them.")
    if file:
        saved = _upload(client, name, file)
    else:
        saved = client.request("PUT", _path(name, "restore"), None, {"File": backup}, timeout_s=LONG_S).data
    say(f'Database "{name}" is restored; what was there before is in backup {saved["File"]}.')


def _spooled(source: IO[bytes] | gzip.GzipFile) -> IO[bytes]:
    """On disk, so that its length is known before it is sent."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - handed over open
    shutil.copyfileobj(source, spool)
    spool.seek(0)
    return spool


def opened_dump(file: str) -> IO[bytes]:
    """A dump's text, seekable; "-" is standard input; what gzip has packed is unpacked. Raises BadInput."""
    try:
        data = _spooled(sys.stdin.buffer) if file == "-" else Path(file).open("rb")  # noqa: SIM115 - handed over open
        packed = data.read(2) == b"\x1f\x8b"
        data.seek(0)
        if not packed:
            return data
        with data, gzip.open(data) as unpacked:
            return _spooled(unpacked)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _upload(client: Client, name: str, file: str) -> dict[str, Any]:
    with opened_dump(file) as data:
        sent = client.upload(_path(name, "restore"), data, "application/sql", timeout_s=LONG_S)
    answer: dict[str, Any] = sent.data
    return answer


@click.command("backup", cls=Command, examples='kokiris db backup shop\nkokiris db backup -schedule "30 2 * * *" shop')
@click.argument("name")
@value("schedule", 'Make them by themselves: cron (UTC), @daily, @hourly, @weekly, or "off".', metavar="CRON")
@value("keep", "How many of the newest are kept (7 unless it is said).", default=None, kind=int, metavar="COUNT")
@flag("list", "Only list them.")
def backup_command(name: str, schedule: str, keep: int | None, **given: bool) -> None:
    """Makes a backup now; or, with -schedule or -keep, says when they are made and how many are kept."""
    client = open_client()
    if given["list"]:
        rows: list[tuple[object, ...]] = [("Backup", "Made", "Size", "Tables", "Rows")]
        for one in client.get(_path(name, "backups")).data:
            rows.append((one["File"], when(one["At"]), f"{one['SizeBytes']} B", one["Tables"], one["Rows"]))
        say(table(rows))
        return
    if schedule or keep is not None:
        cron = None if not schedule else "" if schedule == "off" else schedule
        set_to = client.put(_path(name, "schedule"), {"Schedule": cron, "Keep": keep}).data["Database"]
        made = f"{set_to['Schedule']} (UTC)" if set_to["Schedule"] else "none by themselves"
        say(f'Backups of "{name}": {made}; the newest {set_to["Keep"]} are kept.')
        return
    made = client.request("PUT", _path(name, "backup"), None, {}, timeout_s=LONG_S).data
    say(f"{made['File']}: {made['Tables']} tables, {made['Rows']} rows, {made['SizeBytes']} bytes")


@click.command("drill", cls=Command, examples="kokiris db drill shop")
@click.argument("name")
def drill_command(name: str) -> int:
    """Restores the newest backup into a scratch database and compares every row with what was backed up."""
    last = open_client().request("PUT", _path(name, "drill"), None, {}, timeout_s=LONG_S).data
    of_file = f"{last['File']}: " if last["File"] else ""
    say(f"{'ok' if last['OK'] else 'FAILED'}: {of_file}{last['Detail']}")
    if not last["File"]:
        note(f"Next: Make a backup: kokiris db backup {name}")
    return 0 if last["OK"] else 1


for one in (
    create_command, list_command, drop_command, rotate_command, dump_command, restore_command, backup_command,
    drill_command,
):  # fmt: skip
    db_group.add_command(one)
