"""Whose a token is: asked of the infra's servers over mutual TLS, remembered for a short time by its hash."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import aiohttp
import msgspec

from kokiris.http.tokens import NODE, Principal
from kokiris.kernel.errors import Unavailable

KNOWN_S = 15.0
"""A revoked token opens for at most so long."""
UNKNOWN_S = 2.0
MAX_REMEMBERED = 1000
TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)


class ServerTokens:
    """`own_secret` is the collector's: made by this process, known to it alone."""

    def __init__(self, servers: Sequence[str], tls: Callable[[], ssl.SSLContext], own_secret: str) -> None:
        self._servers = list(servers)
        self._tls = tls
        self._own = own_secret.encode()
        self._remembered: OrderedDict[bytes, tuple[float, Principal | None]] = OrderedDict()

    async def check(self, secret: str) -> Principal | None:
        """None when it opens nothing. Raises Unavailable when no server answers."""
        if hmac.compare_digest(secret.encode(), self._own):
            return NODE
        digest = hashlib.sha256(secret.encode()).digest()
        known = self._remembered.get(digest)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        principal = await self._ask(secret)
        self._remembered[digest] = (time.monotonic() + (UNKNOWN_S if principal is None else KNOWN_S), principal)
        self._remembered.move_to_end(digest)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return principal

    async def _ask(self, secret: str) -> Principal | None:
        problem = "no server is configured"
        body = msgspec.json.encode({"Secret": secret})
        connector = aiohttp.TCPConnector(ssl=self._tls())
        async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
            for server in self._servers:
                try:
                    async with session.post(f"https://{server}/internal/v1/token", data=body) as answer:
                        raw = await answer.read()
                        if answer.status == 403:
                            return None
                        if answer.status < 300:
                            found = msgspec.json.decode(raw)
                            return Principal(found["AccessorID"], found["Name"], found["Kind"])
                        problem = f"{server} answers {answer.status}"
                except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
                    problem = f"{server}: {str(error) or type(error).__name__}"
        raise Unavailable(f"a token cannot be checked now: {problem}")
