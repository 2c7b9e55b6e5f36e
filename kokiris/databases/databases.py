"""What can be done with databases. Each operation leaves either its result or what was there before."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from kokiris.databases import sql
from kokiris.databases.backups import BackupFolder
from kokiris.databases.dumpsummary import DumpEnd, DumpSummary, difference, statement_name
from kokiris.databases.mariadb import Account, MariaDb
from kokiris.databases.model import SCRATCH_PREFIX, Backup, BadDump, Database, DatabaseError, Outcome, check_name
from kokiris.databases.table import DatabaseRecords
from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.kernel.errors import BadInput, Conflict, HostError, KokirisError, Unavailable
from kokiris.kernel.schedule import is_due, next_after, parse_schedule
from kokiris.variables.model import Variable, Variables, database_path

log = logging.getLogger(__name__)

PASSWORD_BYTES = 24
SCHEDULE_LOOK_S = 20.0


class Databases:
    """Of one infra. Every method raises NotFound for an unknown database, Unavailable when MariaDB cannot be reached,
    DatabaseError when it refuses. Operations on one database run one after the other."""

    def __init__(
        self, mariadb: MariaDb, records: DatabaseRecords, variables: Variables, folder: Path, now_ns: NowNs = wall_ns
    ) -> None:
        self._mariadb = mariadb
        self._records = records
        self._table = records.table
        self._variables = variables
        self.backups = BackupFolder(folder)
        self._uploads = BackupFolder(folder / ".uploads")
        self._now_ns = now_ns
        self._locks: dict[str, asyncio.Lock] = {}

    def all(self) -> Sequence[Database]:
        """By name."""
        return self._table.all()

    def get(self, name: str) -> Database:
        """Raises NotFound."""
        return self._table.get(name)

    async def sizes_bytes(self) -> dict[str, int]:
        """Of those that have tables."""
        rows = await self._mariadb.sql(sql.size_bytes())
        return {row[0]: int(float(row[1])) for row in rows if len(row) == 2}

    # ---- accounts ------------------------------------------------------------------------------------------------

    async def create(self, name: str, namespace: str = "default") -> Database:
        """A database, its account, and the variable `kokiris/db/<name>` with the password. Raises Conflict when it
        exists. One that was cut short is begun anew."""
        check_name(name)
        async with self._lock(name):
            if self._table.find(name) is not None:
                raise Conflict(f'database "{name}" exists', next_step="Choose another name, or drop it first.")
            password = secrets.token_urlsafe(PASSWORD_BYTES)
            await self._mariadb.sql(sql.create(name, name, password), hide=password)
            await self._publish(name, namespace, password)
            made = Database(Name=name, User=name, Namespace=namespace, CreateTime=self._now_ns())
            if not await self._records.add(made):
                raise Conflict(f'database "{name}" was made by another server at the same time')
            return made

    async def rotate(self, name: str) -> Database:
        """A new password: the old one is refused from now on, and jobs that use the variable get the new one."""
        async with self._lock(name):
            database = self.get(name)
            before = self._account(database)
            password = secrets.token_urlsafe(PASSWORD_BYTES)
            await self._mariadb.sql(sql.set_password(database.User, password), hide=password)
            try:
                await self._publish(name, database.Namespace, password)
            except BaseException:
                if before is not None:
                    await self._mariadb.sql(sql.set_password(database.User, before.password), hide=before.password)
                raise
            return database

    async def drop(self, name: str) -> None:
        """Database, account and variable. Backups stay."""
        async with self._lock(name):
            database = self.get(name)
            await self._mariadb.sql(sql.drop(name, database.User))
            await self._variables.delete(database.Namespace, database_path(name))
            await self._records.remove(name)

    async def _publish(self, name: str, namespace: str, password: str) -> None:
        items = {"database": name, "user": name, "password": password, "service": "mariadb"}
        await self._variables.put(Variable(Namespace=namespace, Path=database_path(name), Items=items))

    def _account(self, database: Database) -> Account | None:
        found = self._variables.get(database.Namespace, database_path(database.Name))
        return Account(found.Items["user"], found.Items["password"]) if found else None

    # ---- out and in ----------------------------------------------------------------------------------------------

    def dump(self, name: str) -> AsyncIterator[bytes]:
        """The database at one moment, as SQL. Raises at its end unless it is whole."""
        self.get(name)
        return self._mariadb.dump(name)

    async def backup(self, name: str) -> Backup:
        """A new backup; older ones than the newest `Keep` go. The outcome is recorded either way."""
        async with self._lock(name):
            return await self._backup(name)

    async def _backup(self, name: str) -> Backup:
        database, now_ns = self.get(name), self._now_ns()
        try:
            made = await self.backups.write(name, self._mariadb.dump(name), now_ns)
        except KokirisError as error:
            await self._note_backup(name, Outcome(At=now_ns, Detail=error.message))
            raise
        self.backups.prune(name, database.Keep)
        await self._note_backup(name, Outcome(At=now_ns, OK=True, File=made.File))
        return made

    async def _note_backup(self, name: str, outcome: Outcome) -> None:
        def change(database: Database) -> None:
            database.LastBackup = outcome

        await self._records.change(name, change)

    async def restore(self, name: str, file: str = "") -> Backup:
        """The content of a backup (default: the newest) in place of the present one, which is backed up before: that
        backup is returned.

        The content is first loaded beside it: what cannot be loaded changes nothing, and the error says so. Raises
        BadDump when MariaDB refuses a statement of it.
        """
        async with self._lock(name):
            database = self.get(name)
            backup = self.backups.find(name, file)
            with _nothing_changed(name):
                await self.backups.verify(name, backup)
            return await self._replace(database, self.backups, backup)

    async def restore_upload(self, name: str, dump: AsyncIterator[bytes]) -> Backup:
        """As `restore`, from a dump that is sent. Raises BadInput for one that broke off, or makes no table."""
        async with self._lock(name):
            database = self.get(name)
            backup = await self._uploads.write(name, _to_its_end(dump), self._now_ns())
            try:
                return await self._replace(database, self._uploads, backup, sent=True)
            finally:
                self._uploads.forget(name, backup)

    async def _replace(self, database: Database, folder: BackupFolder, backup: Backup, *, sent: bool = False) -> Backup:
        name = database.Name
        account = self._known_account(database)
        with _nothing_changed(name):
            try:
                await self._try(database, account, folder.read(name, backup), sent=sent)
            except BadDump as error:
                statement = statement_name(await folder.line(name, backup, error.line)) if error.line else ""
                raise _refused_dump(error, statement, "" if sent else backup.File, name) from error
            saved = await self.backups.write(name, self._mariadb.dump(name, whole=False), self._now_ns())
        try:
            await self._mariadb.sql(sql.fresh(name))
            await self._mariadb.load(name, account, folder.read(name, backup))
        except KokirisError as error:
            raise Unavailable(
                f'restoring "{name}" was cut short, it is empty or holds a part of the dump now: {error.message}',
                next_step=f"Run it again; what was there before is in backup {saved.File}.",
            ) from error
        return saved

    async def _try(self, database: Database, account: Account, dump: AsyncIterator[bytes], *, sent: bool) -> None:
        async with self._scratch(database) as scratch:
            await self._mariadb.load(scratch, account, dump)
            if sent and await self._mariadb.sql(sql.count_tables(scratch)) == [["0"]]:
                raise BadInput(
                    "the dump makes no table: nothing was changed",
                    next_step=f'Is it the right file? To empty "{database.Name}", drop it and create it again.',
                )

    async def drill(self, name: str) -> Outcome:
        """Restores the newest backup into a scratch database and compares every row. The outcome is recorded."""
        async with self._lock(name):
            database, now_ns, file = self.get(name), self._now_ns(), ""
            try:
                backup = self.backups.find(name)
                file = backup.File
                detail = await self._drill(database, backup)
                rows = sum(table.Rows for table in backup.Tables.values())
                outcome = Outcome(
                    At=now_ns, OK=not detail, File=file, Detail=detail or f"{len(backup.Tables)} tables, {rows} rows"
                )
            except KokirisError as error:
                outcome = Outcome(At=now_ns, File=file, Detail=error.message)

            def change(one: Database) -> None:
                one.LastDrill = outcome

            await self._records.change(name, change)
            return outcome

    async def _drill(self, database: Database, backup: Backup) -> str:
        await self.backups.verify(database.Name, backup)
        account = self._known_account(database)
        async with self._scratch(database) as scratch:
            await self._mariadb.load(scratch, account, self.backups.read(database.Name, backup))
            found = DumpSummary()
            async for chunk in self._mariadb.dump(scratch):
                found.feed(chunk)
        return difference(backup.Tables, found.tables())

    @contextlib.asynccontextmanager
    async def _scratch(self, database: Database) -> AsyncIterator[str]:
        """A database for the account to load into; gone afterwards."""
        scratch = f"{SCRATCH_PREFIX}{database.Name}"
        await self._mariadb.sql(sql.fresh(scratch) + "\n" + sql.grant(scratch, database.User))
        try:
            yield scratch
        finally:
            await self._mariadb.sql(sql.revoke(scratch, database.User) + "\n" + sql.drop_scratch(scratch))

    def _known_account(self, database: Database) -> Account:
        account = self._account(database)
        if account is None:
            raise BadInput(
                f'the password of "{database.Name}" is not known any more',
                next_step=f"Run `kokiris db rotate {database.Name}`.",
            )
        return account

    # ---- schedules -----------------------------------------------------------------------------------------------

    async def schedule(self, name: str, schedule: str | None = None, keep: int | None = None) -> Database:
        """Backups at the times of a cron expression (UTC; "": none), and how many are kept. None: as it is. Raises
        BadInput."""
        now_ns = self._now_ns()
        if schedule and next_after(parse_schedule(schedule), now_ns) is None:
            raise BadInput(f'schedule "{schedule[:60]}" names a day that never comes', next_step="Correct its day.")
        if keep is not None and not 1 <= keep <= 1000:
            raise BadInput(f"keep {keep} is not between 1 and 1000")

        def change(database: Database) -> None:
            if schedule is not None and schedule != database.Schedule:
                database.Schedule, database.ScheduledFrom = schedule, now_ns
            database.Keep = keep if keep is not None else database.Keep

        return await self._records.change(name, change)

    async def run_schedules(self) -> None:
        """For ever: makes the backups that are due. On the leader only."""
        while True:
            await asyncio.sleep(SCHEDULE_LOOK_S)
            try:
                await self.run_due()
            except Exception:
                log.exception("defect in the backups' schedule")

    async def run_due(self) -> list[str]:
        """Makes the backups that are due now; names of their databases."""
        now_ns = self._now_ns()
        due = [
            one.Name
            for one in self.all()
            if one.Schedule
            and is_due(parse_schedule(one.Schedule), last_ns=one.LastBackup.At, set_ns=one.ScheduledFrom, now_ns=now_ns)
        ]
        for name in due:
            try:
                await self.backup(name)
            except KokirisError as error:
                log.warning('scheduled backup of database "%s": %s', name, error.message)
        return due

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


async def _to_its_end(dump: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Raises BadInput at the end of a dump that broke off before."""
    end = DumpEnd()
    async for chunk in dump:
        end.feed(chunk)
        yield chunk
    if end.is_missing:
        raise BadInput(
            "the dump breaks off before its end: nothing was changed",
            next_step="Make it again; `kokiris db dump -o FILE` writes a file whole or not at all.",
        )


@contextlib.contextmanager
def _nothing_changed(name: str) -> Iterator[None]:
    """What fails within fails before the database is touched: the error says it."""
    try:
        yield
    except (DatabaseError, HostError, Unavailable) as error:
        raise type(error)(f'database "{name}" is as it was: {error.message}', next_step=error.next_step) from error


def _refused_dump(error: BadDump, statement: str, backup: str, database: str) -> BadDump:
    """For people: where, which statement, the state of the database, what now. `backup` "": the dump was sent."""
    where = f"line {error.line}{f' ({statement})' if statement else ''}" if error.line else "the dump"
    step = f"Correct {f'line {error.line}' if error.line else 'the file'} and send it again."
    if backup:
        step = f"Choose another one: `kokiris db backup -list {database}` shows what there is."
    elif error.beyond_rights:
        step = (
            "Leave out what is about other databases, accounts, definers, files and shells: a dump is loaded with the "
            f'rights of the account of "{database}".'
        )
    return BadDump(
        f'database "{database}" is as it was: {f"backup {backup}, " if backup else ""}{where}: {error.message}',
        line=error.line, beyond_rights=error.beyond_rights, next_step=step,
    )  # fmt: skip
