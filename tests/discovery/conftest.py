"""A discovery of its own per test: real SQLite store, catalog following it, API on an ephemeral port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from kokiris.discovery.api.app import make_consul_app
from kokiris.discovery.api.context import AgentFacts
from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import Keys
from kokiris.discovery.upkeep import Upkeep
from kokiris.discovery.writer import CatalogWriter
from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.http.tokens import Principal
from kokiris.kernel.ids import new_id
from kokiris.store.contract import Store
from kokiris.store.etcd.store import EtcdStore
from kokiris.store.follow import Follower
from kokiris.store.sqlite.store import SqliteStore

T = TypeVar("T")

SECRET = "0c2f6b1e-5f0c-4f0a-9d55-0f7c3a1b2c3d"
READER = "1c2f6b1e-5f0c-4f0a-9d55-0f7c3a1b2c3d"
KEYS = Keys("demo", "rec1")
FACTS = AgentFacts(node_name="node1", node_id="11111111-2222-3333-4444-555555555555", session_ttl_min_s=0.2)


class Tokens:
    """Two tokens: one for everything, one for reading."""

    def authenticate(self, secret: str) -> Principal | None:
        kinds = {SECRET: "management", READER: "client"}
        kind = kinds.get(secret)
        return None if kind is None else Principal(accessor_id=f"accessor-{kind}", name=kind, kind=kind)


@dataclass
class Discovery:
    """Everything in one loop."""

    store: Store
    catalog: Catalog
    follower: Follower
    writer: CatalogWriter
    keys: Keys
    facts: AgentFacts = FACTS

    async def put(self, puts: dict[bytes, bytes], deletes: tuple[bytes, ...] = ()) -> int:
        """One commit by somebody else (the orchestrator), applied here."""
        done = await self.store.commit((), puts, deletes)
        await self.follower.wait_for(done.revision)
        return done.revision


async def open_discovery(folder: Path, *, store: Store | None = None, keys: Keys = KEYS) -> Discovery:
    """Over a SQLite store in `folder`, unless there is a store."""
    store = store or await SqliteStore.open(folder)
    catalog = Catalog(keys.root)
    follower = Follower(store, keys.root, catalog.load, catalog.apply)
    await follower.start()
    return Discovery(store, catalog, follower, CatalogWriter(store, catalog, keys, follower.wait_for), keys)


@pytest.fixture(params=["sqlite", "etcd"])
async def discovery(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Discovery]:
    """In the test's own loop, on either store."""
    store: Store | None = None
    if request.param == "etcd":
        cluster = request.getfixturevalue("etcd")
        store = await EtcdStore.open(cluster.endpoints, tls=cluster.tls)
    opened = await open_discovery(tmp_path / "store", store=store, keys=Keys(f"t{new_id()}", "rec1"))
    yield opened
    await opened.follower.stop()
    await opened.store.close()


@dataclass
class Api:
    """A served API in a thread of its own, for blocking clients."""

    port: int
    discovery: Discovery
    loop: asyncio.AbstractEventLoop
    token: str = SECRET
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` in the API's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def call(self, work: Callable[[], T]) -> T:
        """Calls `work` in the API's loop."""

        async def called() -> T:
            return work()

        return self.run(called())


def port_of(server: HttpServer) -> int:
    return int(server._server.servers[0].sockets[0].getsockname()[1])


async def _serve(folder: Path, started: Callable[[Api], None], stop: asyncio.Event) -> None:
    opened = await open_discovery(folder)
    server = HttpServer(asgi(make_consul_app(opened.catalog, opened.writer, opened.facts, Tokens())), grace_s=1)
    await server.start()
    upkeep = Upkeep(opened.writer, tick_s=0.05, deregister_after_min_s=0.1)
    running = asyncio.create_task(upkeep.run())
    started(Api(port_of(server), opened, asyncio.get_running_loop()))
    await stop.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await server.stop()
    await opened.follower.stop()
    await opened.store.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """The Consul API over a real store, in a thread."""
    ready: list[Api] = []
    came_up = threading.Event()
    stop = asyncio.Event()
    failed: list[BaseException] = []

    def started(served: Api) -> None:
        ready.append(served)
        came_up.set()

    def thread() -> None:
        try:
            uvloop.run(_serve(tmp_path / "store", started, stop))
        except BaseException as error:
            failed.append(error)
        finally:
            came_up.set()

    running = threading.Thread(target=thread)
    running.start()
    assert came_up.wait(60)
    if failed:
        raise failed[0]
    try:
        yield ready[0]
    finally:
        ready[0].loop.call_soon_threadsafe(stop.set)
        running.join(30)
    assert not failed, failed


async def eventually(check: Callable[[], Awaitable[bool] | bool], deadline_s: float = 60.0) -> None:
    """Returns once `check` holds; fails after `deadline_s`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        holds = check()
        if not isinstance(holds, bool):
            holds = await holds
        if holds:
            return
        assert loop.time() < end, "condition never held"
        await asyncio.sleep(0.02)
