"""One mariadbd for all tests of this folder, databases and variables of each test's own."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kokiris.databases.databases import Databases
from kokiris.databases.mariadb import MariaDb
from kokiris.databases.model import Keys
from kokiris.databases.table import DatabaseRecords, DatabaseTable
from kokiris.store.follow import Follower
from kokiris.store.opening import open_store
from kokiris.variables.model import Keys as VariableKeys
from kokiris.variables.sealing import load_keyring, make_keyring
from kokiris.variables.table import VariableTable
from kokiris.variables.writer import VariableWriter
from tests.engines.mariadb import LocalHost, MariaDbServer


@pytest.fixture(scope="session")
def mariadbd() -> Iterator[MariaDbServer]:
    folder = Path(tempfile.mkdtemp(prefix="kkdb"))  # short: a socket's path has 107 bytes
    server = MariaDbServer(folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Clock:
    """Moves on by itself: two backups never have the same name."""

    def __init__(self) -> None:
        self._ns = itertools.count(1_700_000_000_000_000_000, 1_000_000_000)
        self.offset_ns = 0

    def __call__(self) -> int:
        return next(self._ns) + self.offset_ns


@dataclass(slots=True)
class Bench:
    databases: Databases
    variables: VariableWriter
    server: MariaDbServer
    host: LocalHost
    folder: Path
    clock: Clock

    def password(self, name: str) -> str:
        return self.variables.get("default", f"kokiris/db/{name}").Items["password"]

    def as_account(self, name: str, statements: str):
        return self.server.ask(f"USE {name};\n{statements}", user=name, password=self.password(name))


@pytest.fixture
async def bench(tmp_path, mariadbd) -> AsyncIterator[Bench]:
    make_keyring(tmp_path / "variables.key")
    store = await open_store("sqlite", path=tmp_path / "store")
    clock = Clock()
    variable_table = VariableTable(VariableKeys("demo", "rec1"), load_keyring(tmp_path / "variables.key"))
    table = DatabaseTable(Keys("demo", "rec1"))
    followers = [Follower(store, one.root, one.load, one.apply) for one in (variable_table, table)]
    for follower in followers:
        await follower.start()
    variables = VariableWriter(store, variable_table, followers[0].wait_for, clock)
    host = LocalHost()
    mariadb = MariaDb(host, client_file=str(mariadbd.client_file), socket=str(mariadbd.socket))
    records = DatabaseRecords(store, table, followers[1].wait_for)
    folder = tmp_path / "backups"
    databases = Databases(mariadb, records, variables, folder, clock)
    yield Bench(databases, variables, mariadbd, host, folder, clock)
    for one in databases.all():
        await databases.drop(one.Name)
    for follower in followers:
        await follower.stop()
    await store.close()
