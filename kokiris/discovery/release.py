"""Which instances no edge sends requests to any more: what a worker waits for before it stops a container.

Pure but for the waiting. Times are seconds of a clock handed in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from kokiris.discovery.catalog import Catalog

EDGE_SILENCE_S = 15.0
"""An edge that has not reported for so long is gone. Longer than its restart takes: HAProxy goes on without it."""


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


@dataclass(frozen=True, slots=True)
class _Gone:
    service: str
    index: int


@dataclass(slots=True)
class ReleaseLedger:
    """Who has applied what. Fed by the edges' reports and by the catalog's deletions (`instance_gone`)."""

    catalog: Catalog
    clock_s: Callable[[], float] = time.monotonic
    _edges: dict[str, _Edge] = field(default_factory=dict)
    _changed: set[asyncio.Future[None]] = field(default_factory=set)

    def report(self, node: str, report: EdgeReport) -> None:
        """An edge has spoken."""
        self._edges[node] = _Edge(self.clock_s(), report.Applied, frozenset(report.Draining))
        for future in self._changed:
            if not future.done():
                future.set_result(None)

    def unreleased(self, instances: Sequence[str]) -> list[str]:
        """Those of `instances` that some live edge may still send requests to."""
        raise NotImplementedError

    async def wait_released(self, instances: Sequence[str], timeout_s: float) -> list[str]:
        """Returns what is still unreleased when all are released or `timeout_s` is over."""
        raise NotImplementedError
