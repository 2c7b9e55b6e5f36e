"""The server role: store, orchestrator, discovery; Nomad and Consul APIs; the rpc listener for the infra's nodes."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from kokiris.access.bootstrap import register_tokens
from kokiris.access.issuing import Certificates, TokenCheck
from kokiris.access.model import Keys as AccessKeys
from kokiris.access.tls import client_context, listener_files
from kokiris.access.tokens import TokenTable
from kokiris.databases.api import add_database_routes
from kokiris.databases.databases import Databases
from kokiris.databases.serving import make_databases
from kokiris.discovery.api.app import make_consul_app
from kokiris.discovery.api.context import AgentFacts
from kokiris.discovery.api.internal import add_discovery_routes
from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import Keys as CatalogKeys
from kokiris.discovery.release import ReleaseLedger
from kokiris.discovery.upkeep import Upkeep
from kokiris.discovery.writer import CatalogWriter
from kokiris.http.app import asgi
from kokiris.http.pages import Frame
from kokiris.http.serve import AsgiApp, HttpServer
from kokiris.infra.config import Config, Layout
from kokiris.kernel.clock import wall_ns
from kokiris.kernel.keys import key
from kokiris.orchestrator.api.app import make_nomad_app
from kokiris.orchestrator.api.context import Identity
from kokiris.orchestrator.api.dial import NodeDialer
from kokiris.orchestrator.core.core import Core
from kokiris.orchestrator.internal.app import make_internal_app
from kokiris.orchestrator.internal.variables import TaskVariables
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.state import State
from kokiris.registry.accounts import Accounts
from kokiris.registry.api.app import make_registry_app
from kokiris.registry.api.node import NodeCredential
from kokiris.registry.cleanup import CleanUps
from kokiris.registry.layout import RegistryLayout, issuer
from kokiris.registry.model import Keys as RegistryKeys
from kokiris.registry.service import RegistryService
from kokiris.registry.sharing import read_share
from kokiris.registry.tokenserver import Issuing
from kokiris.routing.advice import tag_warnings
from kokiris.store.contract import Condition, Store
from kokiris.store.election import Leadership
from kokiris.store.follow import Follower
from kokiris.store.opening import open_store
from kokiris.variables.model import Keys as VariableKeys
from kokiris.variables.sealing import load_keyring
from kokiris.variables.table import VariableTable
from kokiris.variables.writer import VariableWriter

log = logging.getLogger(__name__)

LEADER_TTL_S = 10.0
CERTIFICATES_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class _Views:
    """What the store holds, in memory."""

    state: State
    catalog: Catalog
    writer: CatalogWriter
    tokens: TokenTable
    core: Core
    variables: VariableWriter
    databases: Databases
    registry: RegistryService
    followers: tuple[Follower, ...]


async def run(config: Config, layout: Layout, stop: asyncio.Event) -> None:
    """Serves until `stop` is set. Raises KokirisError when the store, an address or a certificate cannot be used, and
    whatever ended a view of the store: a server that no longer sees what is stored must not go on answering."""
    async with AsyncExitStack() as stack:
        store = await _open(config, layout)
        stack.push_async_callback(store.close)
        leadership = Leadership(store, key(config.client, config.infra, "leader"), config.node_name, LEADER_TTL_S)
        dialer = NodeDialer(lambda: client_context(layout))
        stack.push_async_callback(dialer.close)
        views = _views(config, layout, store, leadership, dialer)
        await register_tokens(store, AccessKeys(config.client, config.infra), layout)
        for follower in views.followers:
            await follower.start()
            stack.push_async_callback(follower.stop)
        duties = _LeaderDuties(
            views.core, Upkeep(views.writer).run, views.databases.run_schedules, *_of_shared(stack, views.registry)
        )
        leading = leadership.start(duties.begin, duties.end)
        stack.push_async_callback(leadership.stop)
        rpc = _rpc_listener(config, layout, views)
        servers = [rpc, *_public_listeners(config, views, dialer)]
        stack.push_async_callback(_stop_all, servers)
        for server in servers:
            await server.start()
        gc.collect()
        gc.freeze()  # what has been loaded stays: later collections need not look at it
        log.info("server of %s ready", config.name)
        renewed = _on_renewal(layout, [rpc.reload_certificate, dialer.reload])
        cleaned = asyncio.ensure_future(CleanUps(views.registry).run_schedule())
        await _until(
            stop, leading, asyncio.ensure_future(renewed), cleaned, *(follower.failed for follower in views.followers)
        )


def _of_shared(stack: AsyncExitStack, registry: RegistryService) -> list[Callable[[], Awaitable[None]]]:
    """The leader's duty to another infra that holds the client's registry."""
    if registry.shared is None:
        return []
    stack.push_async_callback(registry.shared.close)
    return [registry.shared.run]


async def _stop_all(servers: list[HttpServer]) -> None:
    """All at once: each gives its running requests time to end."""
    await asyncio.gather(*(server.stop() for server in servers))


async def _open(config: Config, layout: Layout) -> Store:
    endpoints = config.store.endpoints or [f"https://127.0.0.1:{config.ports.etcd_client}"]
    return await open_store(
        config.store.kind,
        path=layout.store / "sqlite",
        endpoints=endpoints,
        tls=(layout.tls / "ca.pem", layout.tls / "node.pem", layout.tls / "node.key"),
    )


def _views(config: Config, layout: Layout, store: Store, leadership: Leadership, dialer: NodeDialer) -> _Views:
    keys, catalog_keys = Keys(config.client, config.infra), CatalogKeys(config.client, config.infra)
    state, catalog = State(keys.root), Catalog(catalog_keys.root)
    tokens = TokenTable(AccessKeys(config.client, config.infra).root)
    table = VariableTable(VariableKeys(config.client, config.infra), load_keyring(layout.variables_key))
    of_state = Follower(store, state.root, state.load, state.apply)
    of_catalog = Follower(store, catalog.root, catalog.load, catalog.apply)
    of_tokens = Follower(store, tokens.root, tokens.load, tokens.apply)
    of_variables = Follower(store, table.root, table.load, table.apply)
    core = Core(
        store,
        state,
        catalog,
        followers=(of_state, of_catalog),
        keys=keys,
        catalog_keys=catalog_keys,
        leader=leadership,
    )
    writer = CatalogWriter(store, catalog, catalog_keys, of_catalog.wait_for)
    variables = VariableWriter(store, table, of_variables.wait_for, wall_ns)
    registry, of_registry = _registry(config, layout, store, state, tokens)
    databases, of_databases = make_databases(
        config,
        layout,
        store=store,
        variables=variables,
        dialer=dialer,
        allocs_of_job=state.allocs_of_job,
        node_of=lambda node_id: state.nodes.get(node_id),  # noqa: PLW0108 - the table is another one after a reload
    )
    followers = (of_state, of_catalog, of_tokens, of_variables, of_registry, of_databases)
    return _Views(state, catalog, writer, tokens, core, variables, databases, registry, followers)


def _registry(
    config: Config, layout: Layout, store: Store, state: State, tokens: TokenTable
) -> tuple[RegistryService, Follower]:
    accounts = Accounts(RegistryKeys(config.client))
    follower = Follower(store, accounts.root, accounts.load, accounts.apply)

    def jobs() -> list[Job]:
        running = (state.job_of(alloc) for alloc in list(state.allocs.values()) if not alloc.terminal())
        return [*state.jobs.values(), *(job for job in running if job is not None)]

    files = RegistryLayout(layout)
    service = RegistryService(
        client=config.client,
        issuing=Issuing(config.registry_server, issuer(config)),
        keys=files.keys,
        storage=files.storage,
        store=store,
        accounts=accounts,
        wait_for=follower.wait_for,
        infra_tokens=tokens,
        token_lives=lambda accessor_id: any(one.AccessorID == accessor_id for one in tokens.tokens()),
        jobs=jobs,
        share=(lambda: read_share(layout.registry_share)) if config.registry.server else None,
    )
    return service, follower


def _facts(config: Config) -> AgentFacts:
    address = config.advertise_address or config.bind_address
    return AgentFacts(
        node_name=config.node_name,
        address=address,
        datacenter=config.datacenter,
        http_port=config.ports.consul,
        dns_port=config.ports.dns,
        leader=f"{address}:{config.ports.rpc}",
        peers=tuple(config.servers),
    )


def _public_listeners(config: Config, views: _Views, dialer: NodeDialer) -> list[HttpServer]:
    """The Nomad and Consul APIs, in clear on this node's own address: TLS is HAProxy's part."""
    frame = Frame.of(config.addresses, config.ports.https)
    identity = Identity(
        name=f"{config.node_name}.global",
        datacenter=config.datacenter,
        rpc_host=config.advertise_address or config.bind_address,
        rpc_port=config.ports.rpc,
        peers=tuple(config.servers),
    )
    nomad = make_nomad_app(
        views.core,
        views.tokens,
        dialer,
        catalog=views.catalog,
        tokens=views.tokens,
        identity=identity,
        variable_store=views.variables,
        tag_warnings=lambda job: [*tag_warnings(job, config.addresses), *views.registry.image_warnings(job)],
        frame=frame,
    )
    add_database_routes(nomad, views.databases, views.tokens, views.state)
    consul = make_consul_app(views.catalog, views.writer, _facts(config), views.tokens, frame)
    registry = make_registry_app(views.registry, frame, config.registry_server)
    return [
        HttpServer(asgi(nomad), host=config.bind_address, port=config.ports.nomad),
        HttpServer(asgi(consul), host=config.bind_address, port=config.ports.consul),
        HttpServer(asgi(registry), host=config.bind_address, port=config.ports.registry),
    ]


def _rpc_listener(config: Config, layout: Layout, views: _Views) -> HttpServer:
    """For processes of the infra's nodes, by their certificates: the internal API, and the Consul API's reads."""
    internal = make_internal_app(views.core)
    internal.add_route("/internal/v1/node/{node_id}/variables", TaskVariables(views.core, views.variables))
    internal.add_route("/internal/v1/certificates", Certificates(layout))
    internal.add_route("/internal/v1/token", TokenCheck(views.tokens))
    internal.add_route(
        "/internal/v1/registry/credential", NodeCredential(views.registry, views.core.nodes.check_secret)
    )
    add_discovery_routes(internal, views.catalog, ReleaseLedger(views.catalog))
    consul = make_consul_app(views.catalog, views.writer, _facts(config), None)
    app = _by_prefix("/internal/", asgi(internal), asgi(consul))
    return HttpServer(app, host=config.bind_address, port=config.ports.rpc, tls=listener_files(layout))


class _LeaderDuties:
    """What the server that leads does besides serving: between `begin` and `end`."""

    def __init__(self, core: Core, *duties: Callable[[], Awaitable[None]]) -> None:
        """`duties` run for ever, until cancelled."""
        self._core = core
        self._duties = duties
        self._running: list[asyncio.Future[None]] = []

    async def begin(self, fence: Condition) -> None:
        await self._core.lead(fence)
        self._running = [asyncio.ensure_future(duty()) for duty in self._duties]

    async def end(self) -> None:
        running, self._running = self._running, []
        for duty in running:
            duty.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._core.follow()


def _by_prefix(prefix: str, matching: AsgiApp, other: AsgiApp) -> AsgiApp:
    """Sends requests for paths that start with `prefix` to one application and the rest to the other."""

    async def choose(
        scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        await (matching if scope.get("path", "").startswith(prefix) else other)(scope, receive, send)

    return choose


async def _on_renewal(layout: Layout, reload: list[Callable[[], None]]) -> None:
    """Calls `reload` whenever the node's certificate file has changed. Until cancelled."""
    certificate = layout.tls / "node.pem"
    seen = certificate.stat().st_mtime_ns
    while True:
        await asyncio.sleep(CERTIFICATES_EVERY_S)
        try:
            now = certificate.stat().st_mtime_ns
            if now != seen:
                for one in reload:
                    one()
                seen = now
                log.info("certificate reloaded")
        except (OSError, ValueError) as error:  # half-written: look again
            log.warning("certificate %s cannot be read yet: %s", certificate, error)


async def _until(stop: asyncio.Event, *vital: asyncio.Future[None]) -> None:
    """Returns once `stop` is set. Raises what one of `vital` raised, should it end before."""
    stopping = asyncio.ensure_future(stop.wait())
    watched: set[asyncio.Future[Any]] = {stopping, *vital}
    try:
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        for one in done - {stopping}:
            one.result()
    finally:
        stopping.cancel()
        for one in vital:
            if isinstance(one, asyncio.Task) and one.get_name() != "leadership":
                one.cancel()
