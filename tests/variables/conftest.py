"""A table and its writer on a real SQLite store, with a clock set by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from kokiris.store.contract import Store
from kokiris.store.follow import Follower
from kokiris.store.opening import open_store
from kokiris.variables.model import Keys
from kokiris.variables.sealing import load_keyring, make_keyring
from kokiris.variables.table import VariableTable
from kokiris.variables.writer import VariableWriter

KEYS = Keys("demo", "rec1")


class Clock:
    def __init__(self) -> None:
        self.ns = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        return self.ns

    def forward(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


@dataclass(slots=True)
class Shelf:
    store: Store
    table: VariableTable
    writer: VariableWriter
    clock: Clock


@pytest.fixture
async def shelf(tmp_path) -> AsyncIterator[Shelf]:
    make_keyring(tmp_path / "variables.key")
    store = await open_store("sqlite", path=tmp_path / "store", endpoints=[], tls=None)
    clock = Clock()
    table = VariableTable(KEYS, load_keyring(tmp_path / "variables.key"), clock)
    follower = Follower(store, table.root, table.load, table.apply)
    await follower.start()
    yield Shelf(store, table, VariableWriter(store, table, follower.wait_for, clock), clock)
    await follower.stop()
    await store.close()
