"""Which instances no edge sends requests to any more: what a worker waits for before it stops a container.

Decided from the edges' reports and the catalog's deletions; the only effect is waiting. Times are seconds of a clock
handed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from kokiris.discovery.catalog import Catalog

EDGE_SILENCE_S = 30.0
"""An edge that has not reported for so long is gone. Longer than its restart takes, or a machine that is out of breath:
HAProxy goes on without it, and sends requests where it was last told to."""
ACQUAINTANCE_S = 5.0
"""After a start nobody is known: two of the edges' reports fit in."""
NO_EDGE_S = 15.0
"""After a start without any report, there is no edge."""


class EdgeReport(msgspec.Struct, kw_only=True):
    """What an edge says of itself. `Applied`: service → index whose instances HAProxy has now; `Draining`: ids of
    instances that still finish requests."""

    Applied: dict[str, int] = msgspec.field(default_factory=dict)
    Draining: list[str] = msgspec.field(default_factory=list)


@dataclass(slots=True)
class _Edge:
    heard_at_s: float
    applied: Mapping[str, int]
    draining: Collection[str]


@dataclass(slots=True)
class ReleaseLedger:
    """Who has applied what. One per server; every edge reports to every server."""

    catalog: Catalog
    clock_s: Callable[[], float] = time.monotonic
    _edges: dict[str, _Edge] = field(default_factory=dict)
    _reported: list[asyncio.Future[None]] = field(default_factory=list)
    _started_at_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._started_at_s = self.clock_s()

    def report(self, node: str, report: EdgeReport) -> None:
        """An edge has spoken; whoever waits looks again."""
        self._edges[node] = _Edge(self.clock_s(), report.Applied, frozenset(report.Draining))
        waiting, self._reported = self._reported, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def unreleased(self, instances: Sequence[str]) -> list[str]:
        """Those of `instances` (ids) that some live edge may still send requests to.

        Released is what has left the catalog, and of which every live edge has applied its service at an index not
        older than the deletion (or does not route to that service), and does not say it is draining.
        """
        now_s = self.clock_s()
        self._edges = {node: edge for node, edge in self._edges.items() if now_s - edge.heard_at_s <= EDGE_SILENCE_S}
        age_s = now_s - self._started_at_s
        if age_s < ACQUAINTANCE_S or (not self._edges and age_s < NO_EDGE_S):
            return list(instances)
        return [one for one in instances if not self._is_released(one)]

    def _is_released(self, instance_id: str) -> bool:
        if self.catalog.instances_called(instance_id):
            return False
        departed = self.catalog.departed.get(instance_id)
        return all(self._has_let_go(edge, instance_id, departed) for edge in self._edges.values())

    def _has_let_go(self, edge: _Edge, instance_id: str, departed: tuple[str, int] | None) -> bool:
        if instance_id in edge.draining:
            return False
        if departed is None:  # gone before this server read the catalog: anything applied since then knows
            return all(index >= self.catalog.loaded_revision for index in edge.applied.values())
        service, deleted_at = departed
        return edge.applied.get(service, deleted_at) >= deleted_at

    async def wait_released(self, instances: Sequence[str], timeout_s: float) -> list[str]:
        """What is still unreleased once all are released or `timeout_s` is over. Cancel-safe."""
        deadline_s = self.clock_s() + timeout_s
        while (left := self.unreleased(instances)) and (remaining_s := deadline_s - self.clock_s()) > 0:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._reported.append(future)
            with contextlib.suppress(TimeoutError):  # silence matters too: look again every second
                await asyncio.wait_for(future, min(remaining_s, 1.0))
            self._reported = [one for one in self._reported if one is not future]
        return left
