"""Calling a worker's node API: mutual TLS, one shared connection pool."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

import aiohttp

from kokiris.kernel.errors import Unavailable
from kokiris.orchestrator.model.node import Node

NODE_API_ATTRIBUTE = "unique.kokiris.node_api"
"""Node attribute: "host:port" of the node API."""
CONNECT_TIMEOUT_S = 5.0


class NodeDialer:
    """Opens requests and websockets to workers. `make_tls` None: plain HTTP, for tests.

    Call `reload` after the server's certificate was renewed, `close` at the end.
    """

    def __init__(self, make_tls: Callable[[], ssl.SSLContext] | None) -> None:
        self._make_tls = make_tls
        self._tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None

    def request(
        self, node: Node, method: str, path: str, query: Mapping[str, str], body: bytes | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """One call; the answer is not read yet. Raises Unavailable when the node has no address."""
        url, tls = self._where(node, "https", "http")
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        return self._pool().request(method, url + path, params=query, data=body, ssl=tls, timeout=timeout)

    def websocket(
        self, node: Node, path: str, query: Mapping[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """A websocket. Raises Unavailable when the node has no address."""
        url, tls = self._where(node, "https", "http")
        return self._pool().ws_connect(url + path, params=query, ssl=tls, max_msg_size=4 * 1024 * 1024)

    def _where(self, node: Node, secure: str, plain: str) -> tuple[str, ssl.SSLContext | bool]:
        address = (node.Attributes or {}).get(NODE_API_ATTRIBUTE, "")
        if not address:
            raise Unavailable(f'node "{node.Name}" ({node.ID}) has no node API address')
        if self._make_tls is None:
            return f"{plain}://{address}", True
        if self._tls is None:
            self._tls = self._make_tls()
        return f"{secure}://{address}", self._tls

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def reload(self) -> None:
        """New connections use the certificate files as they are now."""
        self._tls = None

    async def close(self) -> None:
        """Idempotent."""
        if self._session is not None:
            await self._session.close()
