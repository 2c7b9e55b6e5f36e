"""What every part of the core works with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

    @property
    def revision(self) -> int:
        """What has been applied."""
        ...

    @property
    def nodes(self) -> Mapping[str, NodeEntry]:
        """By name."""
        ...

    @property
    def declared(self) -> Mapping[tuple[str, str, str], DeclaredService]:
        """By (namespace, job id, service)."""
        ...

    def all_instances(self) -> Iterable[ServiceInstance]: ...

    def instances_called(self, instance_id: str) -> Sequence[ServiceInstance]: ...


@dataclass(frozen=True, slots=True)
class Context:
    """State and catalog are for reading; all writing goes through `commits`."""

    state: State
    catalog: CatalogView
    commits: Commits
    keys: Keys
    catalog_keys: CatalogKeys
    now_ns: NowNs = wall_ns
