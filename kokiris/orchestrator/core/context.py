"""What every part of the core works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kokiris.discovery.model import DeclaredService, NodeEntry, ServiceInstance
from kokiris.discovery.model import Keys as CatalogKeys
from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.orchestrator.core.commits import Commits
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.state import State


class CatalogView(Protocol):
    """What the core reads of the catalog (`kokiris.discovery.catalog.Catalog`)."""

    def instances_of_alloc(self, alloc_id: str) -> Sequence[ServiceInstance]: ...

    def declared_by(self, namespace: str, job_id: str) -> Sequence[DeclaredService]: ...

    def node_entry(self, name: str) -> NodeEntry | None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """State and catalog are for reading; all writing goes through `commits`."""

    state: State
    catalog: CatalogView
    commits: Commits
    keys: Keys
    catalog_keys: CatalogKeys
    now_ns: NowNs = wall_ns
