"""The logs role: the index and its API, and this node's collectors: output of tasks, router lines, events."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import secrets
import sys
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack

from kokiris.access.exports import parse_exports
from kokiris.access.tls import client_context
from kokiris.agent.role import collect_and_trim
from kokiris.http.app import asgi
from kokiris.http.pages import Frame
from kokiris.http.serve import HttpServer
from kokiris.infra.config import Config, Layout
from kokiris.kernel.errors import HostError, Unavailable
from kokiris.logs.api.app import make_logs_app
from kokiris.logs.api.upstream import Upstream
from kokiris.logs.collect.access_collector import AccessCollector
from kokiris.logs.collect.access_targets import AccessTargets
from kokiris.logs.collect.allocs import read_origin
from kokiris.logs.collect.collector import Collector
from kokiris.logs.collect.events.check_follower import CheckFollower
from kokiris.logs.collect.events.follower import EventFollower
from kokiris.logs.collect.events.outlet import Outlet
from kokiris.logs.collect.events.source import Source
from kokiris.logs.collect.shipper import Shipper, credentials, trust
from kokiris.logs.index.log_index import LogIndex
from kokiris.logs.index.retention import Limits
from kokiris.logs.tokens import ServerTokens
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.haproxy.ring import RingReader

log = logging.getLogger(__name__)

COLLECT_AFTER = (50_000, 20, 50)
"""For `gc.set_threshold`: entries on their way into the index are many small objects that live for a second. Looked
through after every 700 of them (Python's default), they make taking an entry cost half as much again (measured)."""
GIVE_BACK_S = 10.0
SWITCH_S = 0.001
"""How long the indexing thread may keep the interpreter from a search (Python's default: 5 ms, at every step of it)."""


async def run(config: Config, layout: Layout, stop: asyncio.Event) -> None:
    """Until `stop` is set. Raises KokirisError when the index or the port cannot be used."""
    own_secret = secrets.token_hex(32)
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_S)
    async with AsyncExitStack() as stack:
        index = await _open_index(config, layout)
        stack.push_async_callback(asyncio.to_thread, index.stop)
        tokens = ServerTokens(config.servers, functools.partial(client_context, layout), own_secret)
        authorization = credentials(config.logs.elasticsearch_credentials_file)
        upstream = None
        if config.logs.elasticsearch_url:
            upstream = Upstream(config.logs.elasticsearch_url, authorization, trust(config.logs.elasticsearch_ca_file))
            stack.push_async_callback(upstream.close)
        frame = Frame.of(config.addresses, config.ports.https)
        app = make_logs_app(index, tokens, cluster=config.client, upstream=upstream, frame=frame)
        door = HttpServer(asgi(app), host=config.bind_address, port=config.ports.logs)
        await door.start()
        stack.push_async_callback(door.stop)
        shipper = _shipper(config, own_secret, authorization, door.port)
        stack.push_async_callback(shipper.close)
        collector = Collector(
            layout,
            infra=config.infra,
            node=config.node_name,
            shipper=shipper,
            kept=layout.root / "logs" / "positions.json",
        )
        access = AccessCollector(
            infra=config.infra,
            node=config.node_name,
            shipper=shipper,
            targets=_access_targets(config, layout),
        )
        events = _event_followers(config, layout, shipper, stack)
        ring = RingReader(HaproxyFiles.of(layout), access.take)
        followers = (collector.run(), ring.run(), *events, _give_back_memory())
        tasks = [asyncio.ensure_future(one) for one in followers]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        log.info("logs of %s on %s:%d", config.name, config.bind_address, door.port)
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()  # a defect ends the process with its traceback in the log; the agent starts it again
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)


async def _give_back_memory() -> None:
    """A third of what a burst of entries needed stays with malloc otherwise (measured: 54 of 150 MB), and by itself the
    collector would not run before COLLECT_AFTER: on an idle node that is hours and 10 MB later."""
    while True:
        await asyncio.sleep(GIVE_BACK_S)
        await asyncio.to_thread(collect_and_trim)


async def _open_index(config: Config, layout: Layout) -> LogIndex:
    limits = Limits(days=config.logs.retention_days, size_bytes=config.logs.retention_bytes)
    try:
        index = LogIndex(layout.root / "logs" / "index", limits)
        await asyncio.to_thread(index.start)
    except OSError as error:
        raise HostError(f"log index {layout.root / 'logs'}: {error.strerror or error}") from error
    return index


def _shipper(config: Config, own_secret: str, authorization: str, port: int) -> Shipper:
    """To the Elasticsearch that is configured, else to our own door."""
    if config.logs.elasticsearch_url:
        headers = {"Authorization": authorization} if authorization else {}
        return Shipper(config.logs.elasticsearch_url, headers, trust(config.logs.elasticsearch_ca_file))
    return Shipper(f"http://{config.bind_address}:{port}", {"Authorization": f"Bearer {own_secret}"})


def _access_targets(config: Config, layout: Layout) -> AccessTargets:
    """By what the edge and the worker of this node keep."""
    whose = functools.partial(read_origin, layout, infra=config.infra, node=config.node_name)
    return AccessTargets(layout.haproxy / "edge.json", whose)


def _event_followers(
    config: Config, layout: Layout, shipper: Shipper, stack: AsyncExitStack
) -> Sequence[Awaitable[None]]:
    """On nodes with a server, where the operator token lies; none elsewhere."""
    if not config.server:
        return ()
    host = config.bind_address
    source = Source(
        f"http://{host}:{config.ports.nomad}",
        f"http://{host}:{config.ports.consul}",
        functools.partial(_operator_token, layout),
    )
    stack.push_async_callback(source.close)
    events, checks = (Outlet(shipper, infra=config.infra, retention_days=config.logs.retention_days) for _ in range(2))
    folder = layout.root / "logs"
    return (
        EventFollower(source, events, folder / "events.json").run(),
        CheckFollower(source, checks, folder / "checks.json").run(),
    )


def _operator_token(layout: Layout) -> str:
    """Raises Unavailable while it is not there: events are collected once it is."""
    try:
        return parse_exports(layout.operator_file)["NOMAD_TOKEN"]
    except (OSError, KeyError) as error:
        raise Unavailable(f"the operator token in {layout.operator_file} cannot be read: {error}") from error
