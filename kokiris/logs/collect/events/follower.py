"""Follows jobs, deployments, allocations and nodes, and ships what happens to them.

The event stream tells what changes now; it remembers a hundred commits and nothing over a restart of the server. So
each time it is opened, everything that has changed since the kept position is looked at first: an allocation, a job, a
node carries its own history. Ids are made of what an event is, so that what is met twice is kept once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, NotFound, Unavailable
from kokiris.logs.collect.events.allocations import of_allocation, of_evaluation
from kokiris.logs.collect.events.deployments import FINAL, SeenDeployment, of_deployment, seen
from kokiris.logs.collect.events.jobs import of_versions, removed
from kokiris.logs.collect.events.nodes import of_node
from kokiris.logs.collect.events.outlet import Outlet, load_kept, save_kept
from kokiris.logs.collect.events.source import FAILURES, Source, StreamBatch, StreamEvent
from kokiris.orchestrator.model.allocwire import Allocation
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import Node

log = logging.getLogger(__name__)

T = TypeVar("T")

GATHER_S = 0.2
"""How long further commits are waited for, to be shipped together."""
QUEUE_BATCHES = 64
SHIP_AT = 500
"""Objects looked at between two shipments while catching up."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0


class Followed(msgspec.Struct, kw_only=True):
    """What is kept: everything up to `index` is shipped."""

    index: int = 0
    jobs: dict[str, int] = msgspec.field(default_factory=dict)
    """"<namespace>/<id>" → CreateIndex of every job that is known: one that is missing was removed."""
    deployments: dict[str, SeenDeployment] = msgspec.field(default_factory=dict)
    """Those that may still change."""


class _Stub(msgspec.Struct, kw_only=True):
    """What lists are read for."""

    ID: str = ""
    Namespace: str = ""
    CreateIndex: int = 0
    ModifyIndex: int = 0


class _Versions(msgspec.Struct, kw_only=True):
    Versions: list[Job] = msgspec.field(default_factory=list)


class EventFollower:
    """`run` until cancelled. The position is saved after the index has acknowledged."""

    def __init__(self, source: Source, outlet: Outlet, kept: Path) -> None:
        self._source = source
        self._outlet = outlet
        self._file = kept
        self._kept = load_kept(kept, Followed, Followed())

    async def run(self) -> None:
        """Waits for servers that are away, as long as it takes."""
        pause_s, problem = FIRST_PAUSE_S, ""
        while True:
            try:
                async with self._source.changes(self._kept.index + 1) as batches:
                    await self._catch_up()
                    pause_s, problem = FIRST_PAUSE_S, ""
                    await self._follow(batches)
            except FAILURES as error:
                if str(error) != problem:
                    problem = str(error)
                    log.warning("events wait for the server: %s", problem or type(error).__name__)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    # ---- what was missed ----------------------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        """All that has changed since the kept position. Afterwards the position is the index of the first list read:
        those read later hold everything up to there as well."""
        after = self._kept.index
        present = {_life(stub) for stub in (await self._job_stubs()).values()}
        purged: dict[tuple[str, int], dict[int, Job]] = {}
        stubs, index = await self._source.nomad("/v1/allocations", list[_Stub], namespace="*", task_states="false")
        for number, stub in enumerate(one for one in stubs if one.ModifyIndex > after):
            alloc = await self._object(f"/v1/allocation/{stub.ID}", Allocation)
            self._outlet.put(of_allocation(alloc) if alloc is not None else ())
            if alloc is not None and alloc.Job is not None and _life(alloc.Job) not in present:
                purged.setdefault(_life(alloc.Job), {})[alloc.Job.Version] = alloc.Job
            if number % SHIP_AT == SHIP_AT - 1:
                await self._outlet.ship()
        for deployment in await self._listed("/v1/deployments", Deployment, after):
            self._deployment(deployment)
        for evaluation in await self._listed("/v1/evaluations", Evaluation, after):
            self._outlet.put(of_evaluation(evaluation))
        await self._catch_up_jobs(after, purged)
        nodes, _ = await self._source.nomad("/v1/nodes", list[_Stub])
        for stub in nodes:
            node = await self._object(f"/v1/node/{stub.ID}", Node) if stub.ModifyIndex > after else None
            self._outlet.put(of_node(node) if node is not None else ())
        await self._shipped(index)

    async def _job_stubs(self) -> dict[str, _Stub]:
        stubs, _ = await self._source.nomad("/v1/jobs", list[_Stub], namespace="*")
        return {_name(stub.Namespace, stub.ID): stub for stub in stubs}

    async def _catch_up_jobs(self, after: int, unlisted: dict[tuple[str, int], dict[int, Job]]) -> None:
        """`unlisted`: jobs that were in no list before their allocations were read: what came and went while nobody
        looked is told from those, which the servers keep for an hour."""
        known = await self._job_stubs()
        for life, versions in unlisted.items():
            if life not in map(_life, known.values()):
                self._outlet.put(of_versions(list(versions.values()), after))
                self._removed(*life)
        for name in self._kept.jobs.keys() - known.keys():
            self._removed(name, self._kept.jobs[name])
        for name, stub in known.items():
            self._kept.jobs[name] = stub.CreateIndex
            if stub.ModifyIndex > after:
                await self._versions(stub.Namespace, stub.ID, after)

    async def _listed(self, path: str, as_type: type[T], after: int) -> list[T]:
        raws, _ = await self._source.nomad(path, list[msgspec.Raw], namespace="*")
        newer = [raw for raw in raws if msgspec.json.decode(raw, type=_Stub).ModifyIndex > after]
        found = [_decoded(raw, as_type) for raw in newer]
        return [one for one in found if one is not None]

    async def _object(self, path: str, as_type: type[T]) -> T | None:
        """None when it is gone meanwhile."""
        try:
            raw, _ = await self._source.nomad(path, msgspec.Raw)
        except NotFound:
            return None
        return _decoded(raw, as_type)

    # ---- what comes ---------------------------------------------------------------------------------------------

    async def _follow(self, batches: AsyncIterator[StreamBatch]) -> None:
        """Raises one of FAILURES when the stream ends."""
        queue: asyncio.Queue[StreamBatch | BaseException] = asyncio.Queue(QUEUE_BATCHES)
        pump = asyncio.create_task(_pump(batches, queue), name="event stream")
        try:
            while True:
                gathered = [await queue.get()]
                await asyncio.sleep(GATHER_S)
                while not queue.empty():
                    gathered.append(queue.get_nowait())
                await self._take(gathered)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _take(self, gathered: Sequence[StreamBatch | BaseException]) -> None:
        index = 0
        for batch in gathered:
            if isinstance(batch, BaseException):
                raise batch
            if batch.Error:
                raise Unavailable(batch.Error)
            for event in batch.Events:
                await self._event(event)
            index = max(index, batch.Index)
        if index:
            await self._shipped(index)

    async def _event(self, event: StreamEvent) -> None:
        raw = event.Payload.get(event.Topic)
        if raw is None:
            return
        if event.Topic == "Allocation" and (alloc := _decoded(raw, Allocation)) is not None:
            self._outlet.put(of_allocation(alloc))
        elif event.Topic == "Evaluation" and (evaluation := _decoded(raw, Evaluation)) is not None:
            self._outlet.put(of_evaluation(evaluation))
        elif event.Topic == "Node" and (node := _decoded(raw, Node)) is not None:
            self._outlet.put(of_node(node))
        elif event.Topic == "Deployment" and (deployment := _decoded(raw, Deployment)) is not None:
            self._deployment(deployment)
        elif event.Topic == "Job":
            await self._job(raw)

    async def _job(self, raw: msgspec.Raw) -> None:
        stub = msgspec.json.decode(raw, type=_Stub)
        name = _name(stub.Namespace, stub.ID)
        if not stub.CreateIndex:  # of a job that is gone, nothing but its name is told
            if name in self._kept.jobs:
                self._removed(name, self._kept.jobs[name])
            return
        self._kept.jobs[name] = stub.CreateIndex
        if not await self._versions(stub.Namespace, stub.ID, self._kept.index) and (job := _decoded(raw, Job)):
            self._outlet.put(of_versions([job], self._kept.index))  # purged meanwhile: what the stream told of it

    # ---- both ways ----------------------------------------------------------------------------------------------

    def _deployment(self, deployment: Deployment) -> None:
        self._outlet.put(of_deployment(self._kept.deployments.get(deployment.ID), deployment))
        if deployment.Status in FINAL:
            self._kept.deployments.pop(deployment.ID, None)
        else:
            self._kept.deployments[deployment.ID] = seen(deployment)

    async def _versions(self, namespace: str, job_id: str, after: int) -> bool:
        """False for a job that is gone."""
        found = await self._object(f"/v1/job/{quote(job_id, safe='')}/versions?namespace={quote(namespace)}", _Versions)
        if found is not None:
            self._outlet.put(of_versions(found.Versions, after))
        return found is not None

    def _removed(self, name: str, create_index: int) -> None:
        namespace, _, job_id = name.partition("/")
        self._kept.jobs.pop(name, None)
        self._outlet.put([removed(namespace, job_id, create_index, time.time_ns())])

    async def _shipped(self, index: int) -> None:
        """Ships, then keeps the position."""
        await self._outlet.ship()
        self._kept.index = max(self._kept.index, index)
        try:
            save_kept(self._file, self._kept)
        except OSError as error:
            log.warning("the position of events is not kept: %s", error)


async def _pump(batches: AsyncIterator[StreamBatch], queue: asyncio.Queue[StreamBatch | BaseException]) -> None:
    try:
        async for batch in batches:
            await queue.put(batch)
    except FAILURES as error:
        await queue.put(error)
    else:
        await queue.put(Unavailable("the event stream has ended"))


def _name(namespace: str, job_id: str) -> str:
    return f"{namespace}/{job_id}"


def _life(job: _Stub | Job) -> tuple[str, int]:
    """A job of the same name that was purged and registered again is another one."""
    return _name(job.Namespace, job.ID), job.CreateIndex


def _decoded(raw: msgspec.Raw, as_type: type[T]) -> T | None:
    """None, with a word in the log, for what is not as Nomad has it: one object must not hold up the others."""
    try:
        return wire.decode(bytes(raw), as_type)
    except BadInput as error:
        log.warning("an event is left out: %s", error.message)
        return None
