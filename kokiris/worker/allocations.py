"""All allocations of this node: taken on, found again, ended, and their folders collected."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Sequence

from kokiris.infra.labels import ALLOC_LABEL, INFRA_LABEL
from kokiris.kernel.errors import KokirisError, NotFound
from kokiris.worker.allocs.collection import Disk, EndedAlloc, next_for_room, to_collect
from kokiris.worker.allocs.folders import AllocFolders
from kokiris.worker.allocs.kept import KeptAlloc
from kokiris.worker.allocs.network import static_ports
from kokiris.worker.allocs.runner import AllocRunner
from kokiris.worker.allocs.status import TERMINAL
from kokiris.worker.assignments import compare
from kokiris.worker.client import AssignedAllocation, AssignmentList
from kokiris.worker.drivers.engine import Engine
from kokiris.worker.surroundings import Surroundings

log = logging.getLogger(__name__)

RETRY_S = 1.0
FETCH_AT_ONCE = 200
COLLECT_EVERY_S = 60.0


class Allocations:
    """The runners of this node, by allocation id."""

    def __init__(self, around: Surroundings, engine: Engine, infra_label: str) -> None:
        self.runners: dict[str, AllocRunner] = {}
        self._around = around
        self._engine = engine
        self._infra_label = infra_label
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._forgotten: set[str] = set()
        """By the servers, and on their way out here."""
        self.known = asyncio.Event()
        """Set once the servers have said what this node is to run."""

    def restore(self) -> None:
        """Takes up what an earlier worker ran: to be called once, before anything is asked of the servers."""
        for kept in self._around.keeper.load():
            try:
                self._begin(AllocRunner(kept.Allocation, kept.AllocModifyIndex, self._around, kept))
            except KokirisError as error:
                log.warning("allocation %s: %s", kept.Allocation.ID, error.message)

    async def follow(self) -> None:
        """Does what the servers want, for ever. While they are away all goes on as it is."""
        index = 0
        while True:
            try:
                listed = await self._around.servers.assignments(index)
                await self._apply(listed)
                self.known.set()
                index = listed.Index if listed.Index >= index else 0
            except KokirisError as error:
                log.info("no news of assignments: %s", error.message)
                await asyncio.sleep(RETRY_S)

    async def collect(self) -> None:
        """Removes folders of ended allocations when they are too many or the disk is tight, for ever."""
        while True:
            await asyncio.sleep(COLLECT_EVERY_S)
            await self._collect_once()
            if self.known.is_set():
                await self.sweep()

    async def sweep(self) -> None:
        """Removes containers of this infra and data folder that belong to no allocation; retried until it can."""
        while True:
            try:
                found = await self._engine.containers(f"{INFRA_LABEL}={self._infra_label}")
            except KokirisError:
                await asyncio.sleep(RETRY_S)
                continue
            self._around.ports.retain(container["Id"] for container in found)
            for container in found:
                alloc_id = container.get("Labels", {}).get(ALLOC_LABEL, "")
                runner = self.runners.get(alloc_id)
                if runner is None or runner.ended:
                    log.info("removing container %s: its allocation is no more", container["Id"][:12])
                    await self._engine.remove(container["Id"])
            return

    def find(self, alloc_id: str) -> AllocRunner:
        """Raises NotFound in Nomad's words."""
        runner = self.runners.get(alloc_id)
        if runner is None:
            raise NotFound(f'Unknown allocation "{alloc_id}"', next_step="List the allocations of the job first.")
        return runner

    def remove_ended(self, alloc_id: str) -> bool:
        """Removes the folders of an ended allocation (`nomad alloc gc`); False while it runs."""
        runner = self.find(alloc_id)
        if not runner.ended:
            return False
        self._forget(alloc_id)
        return True

    async def close(self) -> None:
        """Lets go of everything; tasks run on."""
        for life in (*self._lives.values(), *self._leaving):
            life.cancel()
        await asyncio.gather(*self._lives.values(), *self._leaving, return_exceptions=True)

    async def _apply(self, listed: AssignmentList) -> None:
        known = {ident: runner.modify_index for ident, runner in self.runners.items()}
        difference = compare(known, listed.Assignments or ())
        for start in range(0, len(difference.fetch), FETCH_AT_ONCE):
            self._take_on(await self._around.servers.allocations(difference.fetch[start : start + FETCH_AT_ONCE]))
        for gone in set(difference.gone) - self._forgotten:
            self._forgotten.add(gone)
            leaving = asyncio.create_task(self._leave(gone), name=f"remove {gone[:8]}")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    def _take_on(self, found: Sequence[AssignedAllocation]) -> None:
        for one in found:
            alloc, runner = one.Allocation, self.runners.get(one.Allocation.ID)
            try:
                if runner is not None:
                    runner.update(alloc, one.AllocModifyIndex)
                else:
                    self._begin(self._new(one), after=alloc.PreviousAllocation)
            except KokirisError as error:
                log.warning("allocation %s: %s", alloc.ID, error.message)

    def _new(self, one: AssignedAllocation) -> AllocRunner:
        """One that ended in an earlier life of this node, and whose record is lost, is not run again."""
        if one.Allocation.ClientStatus not in TERMINAL:
            return AllocRunner(one.Allocation, one.AllocModifyIndex, self._around)
        ended = KeptAlloc(Allocation=one.Allocation, Ended=True, EndedNs=one.Allocation.ModifyTime)
        return AllocRunner(one.Allocation, one.AllocModifyIndex, self._around, ended)

    def _begin(self, runner: AllocRunner, *, after: str = "") -> None:
        self.runners[runner.alloc.ID] = runner
        life = asyncio.create_task(self._live(runner, after), name=f"allocation {runner.alloc.ID[:8]}")
        self._lives[runner.alloc.ID] = life

    async def _port_free(self, runner: AllocRunner, after: str) -> None:
        """Waits for the end of the allocation it replaces on this node, if that one holds a static port of its own."""
        previous, life = self.runners.get(after), self._lives.get(after)
        if previous is None or life is None or not static_ports(previous.group) & static_ports(runner.group):
            return
        if not previous.ended:
            log.info("allocation %s waits for the ports of %s", runner.alloc.ID[:8], after[:8])
            await asyncio.wait({life})

    async def _live(self, runner: AllocRunner, after: str) -> None:
        try:
            await self._port_free(runner, after)
            await runner.run()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("allocation %s: defect", runner.alloc.ID)

    async def _leave(self, alloc_id: str) -> None:
        """Ends what the servers have forgotten, then removes its folders."""
        runner = self.runners.get(alloc_id)
        if runner is None:
            return
        if not runner.ended:
            runner.alloc.DesiredStatus = "stop"
            runner.update(runner.alloc, runner.modify_index)
            await asyncio.gather(self._lives[alloc_id], return_exceptions=True)
        if runner.ended:
            self._forget(alloc_id)

    def _forget(self, alloc_id: str) -> None:
        self.runners.pop(alloc_id, None)
        self._forgotten.discard(alloc_id)
        life = self._lives.pop(alloc_id, None)
        if life is not None and not life.done():
            life.cancel()
        AllocFolders(self._around.layout, alloc_id).remove()

    async def _collect_once(self) -> None:
        for alloc_id in to_collect(self._ended()):
            AllocFolders(self._around.layout, alloc_id).remove_files()
            self.runners[alloc_id].collected = True
        while alloc_id := next_for_room(self._ended(), self._disk()):
            log.info("allocation %s: its folder is removed to make room", alloc_id[:8])
            AllocFolders(self._around.layout, alloc_id).remove_files()
            self.runners[alloc_id].collected = True

    def _ended(self) -> list[EndedAlloc]:
        return [
            EndedAlloc(ident, runner.ended_ns)
            for ident, runner in self.runners.items()
            if runner.ended and not runner.collected
        ]

    def _disk(self) -> Disk:
        usage, counts = shutil.disk_usage(self._around.layout.root), os.statvfs(self._around.layout.root)
        inodes = 1 - counts.f_favail / counts.f_files if counts.f_files else 0.0
        return Disk(usage.used / usage.total, inodes)
