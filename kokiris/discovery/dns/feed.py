"""Keeps the zone as the servers' catalog is: one blocking query after the other, over mutual TLS."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp
import msgspec

from kokiris.discovery.dns.responder import Responder
from kokiris.discovery.dns.zone import Zone
from kokiris.discovery.view import CatalogView

log = logging.getLogger(__name__)

WAIT_S = 10
"""How long a server may keep a query without news: after that, an answer confirms that nothing changed."""
ANSWER_S = 5.0
"""Beyond WAIT_S and its jitter."""
RETRY_MIN_S, RETRY_MAX_S = 0.1, 2.0
GAP_S = 0.005
"""Between two snapshots, so that a burst of changes becomes few of them."""

MakeZone = Callable[[CatalogView], Zone]


class Feed:
    """Asks one server, and the next when it fails. `tls` None speaks in clear, for tests only."""

    def __init__(
        self,
        servers: Sequence[str],
        responder: Responder,
        make_zone: MakeZone,
        tls: Callable[[], ssl.SSLContext | None],
        *,
        wait_s: int = WAIT_S,
    ) -> None:
        self._servers = list(servers)
        self._responder = responder
        self._make_zone = make_zone
        self._tls = tls
        self._wait_s = wait_s

    async def run(self) -> None:
        """Until cancelled."""
        turn, retry_s = 0, RETRY_MIN_S
        while True:
            server = self._servers[turn % len(self._servers)]
            try:
                async for _ in self._follow(server):
                    retry_s = RETRY_MIN_S
            except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
                log.warning("dns: catalog of %s cannot be read: %s", server, str(error) or type(error).__name__)
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, RETRY_MAX_S)
            turn += 1

    async def _follow(self, server: str) -> AsyncIterator[int]:
        """Yields each index it has brought into the zone. Certificates are read anew for each connection."""
        tls = self._tls()
        scheme = "https" if tls is not None else "http"
        timeout = aiohttp.ClientTimeout(total=self._wait_s * 17 / 16 + ANSWER_S, connect=ANSWER_S)
        connector = aiohttp.TCPConnector(ssl=tls if tls is not None else False)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            index = 0
            while True:
                url = f"{scheme}://{server}/internal/v1/catalog?index={index}&wait={self._wait_s}s"
                async with session.get(url, raise_for_status=True) as answer:
                    view = msgspec.json.decode(await answer.read(), type=CatalogView)
                if view.Index == index:
                    self._responder.still_true()
                else:
                    self._responder.set_zone(self._make_zone(view))
                    index = view.Index
                yield index
                await asyncio.sleep(GAP_S)
