"""Follows the health checks of services through the Consul API, and ships each change of one's status."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import msgspec

from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, NotFound
from kokiris.logs.collect.events.allocations import fields_of
from kokiris.logs.collect.events.checks import HealthCheck, Turn, of_turn, statuses, turns
from kokiris.logs.collect.events.outlet import Outlet, load_kept, save_kept
from kokiris.logs.collect.events.source import FAILURES, Source
from kokiris.orchestrator.model.allocwire import Allocation

log = logging.getLogger(__name__)

EVERY_S = 0.5
"""Between two looks: outputs of checks change often, statuses rarely."""
PAUSE_S = 3.0


class CheckFollower:
    """`run` until cancelled. Consul tells no history: what turns and turns back between two looks is not seen."""

    def __init__(self, source: Source, outlet: Outlet, kept: Path) -> None:
        self._source = source
        self._outlet = outlet
        self._file = kept
        self._before: dict[str, str] = load_kept(kept, dict[str, str], {})

    async def run(self) -> None:
        """Waits for servers that are away, as long as it takes."""
        index = 0
        while True:
            try:
                index = await self._look(index)
                await asyncio.sleep(EVERY_S)
            except FAILURES as error:
                log.info("checks wait for the server: %s", str(error) or type(error).__name__)
                index = 0
                await asyncio.sleep(PAUSE_S)

    async def _look(self, index: int) -> int:
        checks, answered = await self._source.consul("/v1/health/state/any", list[HealthCheck], index)
        for turn in turns(self._before, checks):
            await self._put(turn)
        await self._outlet.ship()
        now = statuses(checks)
        if now != self._before:
            self._before = now
            try:
                save_kept(self._file, now)
            except OSError as error:
                log.warning("the statuses of checks are not kept: %s", error)
        return answered if answered >= index else 0  # a server whose index went back was set up anew

    async def _put(self, turn: Turn) -> None:
        """Without its allocation nothing says whose it is, and who may see it: then it is left out."""
        if not turn.alloc_id:
            self._outlet.put([of_turn(turn, {}, time.time_ns())])
            return
        try:
            raw, _ = await self._source.nomad(f"/v1/allocation/{turn.alloc_id}", msgspec.Raw)
            fields = fields_of(wire.decode(bytes(raw), Allocation))
        except (NotFound, BadInput) as error:
            log.info("check %s is left out: %s", turn.check.key, error.message)
            return
        self._outlet.put([of_turn(turn, fields, time.time_ns())])
