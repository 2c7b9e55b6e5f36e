"""The servers' internal API, as the edge uses it: reports, certificates, tokens (docs/architecture.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from kokiris.kernel.errors import BadInput, Unavailable
from kokiris.routing.edge import Report
from kokiris.routing.feed import Caller

TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whose token it is. `accessor_id` is public."""

    accessor_id: str
    name: str
    kind: str


class Servers:
    """Calls to whichever server answers. Raises Unavailable when none does, BadInput when one refuses."""

    def __init__(self, caller: Caller, node: str) -> None:
        self._caller = caller
        self._node = node

    async def _call(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        try:
            return await self._send(self._caller.base, method, path, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._caller.next_server()
            raise Unavailable(f"no server answers: {error or type(error).__name__}") from error

    async def _send(self, base: str, method: str, path: str, body: Any) -> tuple[int, bytes]:
        data = msgspec.json.encode(body)
        async with self._caller.session().request(method, f"{base}{path}", data=data, timeout=TIMEOUT) as response:
            return response.status, await response.read()

    async def report(self, report: Report) -> None:
        """Tells every server what HAProxy has: each keeps its own ledger of what is released."""
        path = f"/internal/v1/edge/{quote(self._node, safe='')}/report"
        body = {"Applied": report.applied, "Draining": report.draining}
        sent = await asyncio.gather(
            *(self._send(base, "PUT", path, body) for base in self._caller.bases), return_exceptions=True
        )
        refused = [one for one in sent if isinstance(one, BaseException) or one[0] >= 300]
        if refused:
            raise Unavailable(
                f"{len(refused)} of {len(sent)} servers did not take the report, first: {refused[0]!r:.300}"
            )

    async def sign(self, request: bytes, names: Sequence[str]) -> bytes:
        """The chain for a certificate request."""
        status, body = await self._call(
            "POST", "/internal/v1/certificates", {"CSR": request.decode(), "Names": list(names)}
        )
        if status >= 500:
            raise Unavailable(f"no certificate for {names[0]}: {body[:200].decode('utf-8', 'replace')}")
        if status >= 300:
            raise BadInput(f"no certificate for {names[0]}: {body[:200].decode('utf-8', 'replace')}")
        return str(msgspec.json.decode(body)["Certificate"]).encode()

    async def who(self, secret: str) -> SignedIn | None:
        """The owner of a token; None if it opens nothing."""
        status, body = await self._call("POST", "/internal/v1/token", {"Secret": secret})
        if status == 403:
            return None
        if status >= 300:
            raise Unavailable(f"a token cannot be checked now: {body[:200].decode('utf-8', 'replace')}")
        answer = msgspec.json.decode(body)
        return SignedIn(answer["AccessorID"], answer["Name"], answer["Kind"])
