"""Databases as a server has them: MariaDB's allocation, reached through its worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from kokiris.databases.databases import Databases
from kokiris.databases.host import AllocationHost, Dialer
from kokiris.databases.mariadb import MariaDb
from kokiris.databases.model import JOB, NAMESPACE, TASK, Keys
from kokiris.databases.table import DatabaseRecords, DatabaseTable
from kokiris.infra.config import Config, Layout
from kokiris.orchestrator.model.node import Node
from kokiris.store.contract import Store
from kokiris.store.follow import Follower
from kokiris.variables.model import Variables


class RunningAlloc(Protocol):
    """The part of an allocation needed here."""

    @property
    def ID(self) -> str: ...

    @property
    def NodeID(self) -> str: ...

    @property
    def ClientStatus(self) -> str: ...

    @property
    def DesiredStatus(self) -> str: ...


def make_databases(
    config: Config,
    layout: Layout,
    *,
    store: Store,
    variables: Variables,
    dialer: Dialer,
    allocs_of_job: Callable[[str, str], Iterable[RunningAlloc]],
    node_of: Callable[[str], Node | None],
) -> tuple[Databases, Follower]:
    """The databases of an infra, and the view to be started before they are used."""

    def find() -> tuple[Node, str, str] | None:
        for alloc in allocs_of_job(NAMESPACE, JOB):
            node = node_of(alloc.NodeID)
            if alloc.ClientStatus == "running" and alloc.DesiredStatus == "run" and node is not None:
                return node, alloc.ID, TASK
        return None

    table = DatabaseTable(Keys(config.client, config.infra))
    follower = Follower(store, table.root, table.load, table.apply)
    records = DatabaseRecords(store, table, follower.wait_for)
    mariadb = MariaDb(AllocationHost(dialer, find))
    return Databases(mariadb, records, variables, layout.root / "backups"), follower
