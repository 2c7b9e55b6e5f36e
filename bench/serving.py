"""Server processes for `bench.api`: the Nomad API over a state in memory, and a bare ASGI app on the same server.

`python -m bench.serving nomad|bare` prints its port, then changes the watched job at each line on stdin.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import msgspec
import uvloop

from kokiris.http.app import asgi
from kokiris.http.serve import AsgiApp, HttpServer
from kokiris.http.tokens import Principal
from kokiris.kernel.ids import new_id, new_ids
from kokiris.orchestrator.api.app import make_nomad_app
from kokiris.orchestrator.api.dial import NodeDialer
from kokiris.orchestrator.commands import Commands
from kokiris.orchestrator.jobspec import canonical
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.alloc import AllocClient, PlanSegment, pack_int32
from kokiris.orchestrator.model.allocwire import TaskState
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import Node
from kokiris.orchestrator.state import State
from kokiris.store.contract import Event

TOKEN = "b0000000-0000-4000-8000-000000000001"  # noqa: S105 - of a server that lives for seconds
ALLOCS = 1000
KEYS = Keys("demo", "rec1")
SITE = {
    "ID": "web",
    "TaskGroups": [
        {
            "Name": "site",
            "Count": ALLOCS,
            "Networks": [{"Mode": "bridge", "DynamicPorts": [{"Label": "http", "To": 80}]}],
            "Services": [{"Name": "web", "PortLabel": "http", "Tags": ["traefik.enable=true"]}],
            "Tasks": [{"Name": "server", "Driver": "docker", "Config": {"image": "site:1", "ports": ["http"]}}],
        }
    ],
}


class ReadOnly:
    """As much of `Commands` as reads need."""

    is_leader = True

    def __init__(self) -> None:
        self.state = State(KEYS.root)

    def commit(self, values: dict[bytes, Any]) -> None:
        """Applies one commit to the state, as the store's watch would."""
        revision = self.state.revision + 1
        encoded = [Event(key, msgspec.msgpack.encode(value), revision, revision) for key, value in values.items()]
        self.state.apply(revision, encoded)


class OneToken:
    """Knows `TOKEN`."""

    def authenticate(self, secret: str) -> Principal | None:
        return Principal("bench", "bench", "management") if secret == TOKEN else None


def filled() -> tuple[ReadOnly, Job]:
    """A job with a thousand running allocations on one node."""
    commands, job, node = ReadOnly(), canonical(SITE), Node(ID=new_id(), Name="node1", Status="ready")
    commands.commit({KEYS.node(node.ID): node})
    register(commands, job)
    segment = PlanSegment(
        EvalID=new_id(),
        Namespace="default",
        JobID=job.ID,
        JobVersion=0,
        TaskGroup="site",
        AllocIDs=new_ids(ALLOCS),
        NameIndexes=pack_int32(list(range(ALLOCS))),
        Nodes=[node.ID],
        NodeRows=pack_int32([0] * ALLOCS),
        PortLabels=["http"],
        Ports=pack_int32(list(range(20000, 20000 + ALLOCS))),
    )
    commands.commit({KEYS.plan("default", job.ID, segment.EvalID, "site"): segment})
    states = {"server": TaskState(State="running")}
    for alloc_id in list(commands.state.allocs):
        running = AllocClient(ID=alloc_id, ClientStatus="running", TaskStates=states, Healthy=True)
        commands.commit({KEYS.alloc_client(alloc_id): running})
    return commands, job


def register(commands: ReadOnly, job: Job) -> None:
    """Stores the job as its newest version."""
    commands.commit({KEYS.job("default", job.ID): job, KEYS.job_version("default", job.ID, job.Version): job})


def nomad() -> tuple[AsgiApp, Callable[[], None]]:
    """The API, and what changes its job."""
    commands, job = filled()
    app = make_nomad_app(cast("Commands", commands), OneToken(), NodeDialer(None))
    return asgi(app), lambda: register(commands, job)


def bare() -> tuple[AsgiApp, Callable[[], None]]:
    """Answers every request with the job's JSON; parks those with a query until the next change. Checks nothing."""
    body = msgspec.json.encode(filled()[1])
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
    }
    end = {"type": "http.response.body", "body": body}
    parked: list[asyncio.Future[None]] = []

    async def app(
        scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        del receive
        if scope["query_string"]:
            parked.append(asyncio.get_running_loop().create_future())
            await parked[-1]
        await send(start)
        await send(end)

    def wake() -> None:
        waiting = parked[:]
        parked.clear()
        for future in waiting:
            future.set_result(None)

    return app, wake


async def serve(kind: str) -> None:
    """Until stdin ends."""
    app, change = {"nomad": nomad, "bare": bare}[kind]()
    server = HttpServer(app, grace_s=1)
    await server.start()
    print(server.port, flush=True)
    over = asyncio.Event()

    def on_line() -> None:
        if sys.stdin.readline():
            change()
        else:
            over.set()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), on_line)
    await over.wait()
    await server.stop()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
