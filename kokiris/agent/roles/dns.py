"""The dns role: the catalog on port 8600, in a process of its own so that no long step elsewhere delays an answer."""

from __future__ import annotations

import asyncio
import functools
import logging

from kokiris.access.tls import client_context
from kokiris.discovery.dns.feed import Feed
from kokiris.discovery.dns.responder import Responder
from kokiris.discovery.dns.server import DnsServer
from kokiris.discovery.dns.zone import Zone
from kokiris.infra.config import Config, Layout

log = logging.getLogger(__name__)


async def run(config: Config, layout: Layout, stop: asyncio.Event) -> None:
    """Answers until `stop`. Raises HostError when the port is taken."""
    responder = Responder()
    address = config.advertise_address or config.bind_address
    make_zone = functools.partial(Zone, datacenter=config.datacenter, ns_address=address)
    server = DnsServer(responder, config.bind_address, config.ports.dns)
    await server.start()
    log.info("dns answers on %s:%d", config.bind_address, server.port)
    feed = asyncio.create_task(
        Feed(config.servers, responder, make_zone, functools.partial(client_context, layout)).run(), name="dns feed"
    )
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({feed, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if feed.done():
            feed.result()  # it never ends by itself: this raises what ended it
    finally:
        for task in (feed, stopping):
            task.cancel()
        await asyncio.gather(feed, stopping, return_exceptions=True)
        await server.stop()
