"""A real Elasticsearch or OpenSearch in place of our index: requests are passed on to it under its own credentials."""

from __future__ import annotations

import ssl
import time
from typing import Any
from urllib.parse import quote

import aiohttp
import falcon.asgi
import msgspec
from yarl import URL

from kokiris.kernel.errors import BadInput, Unavailable
from kokiris.logs.api.appending import actions_to_pass, lines_of, merged
from kokiris.logs.api.call import Call, EsError, Reply, write_reply
from kokiris.logs.api.passing import check_path, is_bulk, is_restricted, what_to_pass
from kokiris.logs.api.startup import set_up
from kokiris.logs.query import tree
from kokiris.logs.query.dsl import Context
from kokiris.logs.query.to_dsl import to_dsl

TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)
_PASSED = ("Content-Type", "Accept")
_UNQUOTED = "/*,:~@!$&'()+;=-"
"""A percent sign is not among them: what is still quoted in a path stays so, and means the same here and over there."""
VIA = "1.1 kokiris-logs"
"""Says that a log search has passed the request on: one that would do so again has been given its own address."""


class Upstream:
    """`authorization` "": none is sent. `tls` checks the certificate where `url` is https. `close` when done."""

    def __init__(self, url: str, authorization: str, tls: ssl.SSLContext | None = None) -> None:
        self._url = url.rstrip("/")
        self._tls = tls
        self._headers = {"Via": VIA, **({"Authorization": authorization} if authorization else {})}
        self._session: aiohttp.ClientSession | None = None

    async def pass_on(self, call: Call, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Only for management tokens, and narrowed to what they may see. KQL is translated.
        Raises EsError, QueryError, Unavailable."""
        if not call.principal.is_management and call.principal.kind != "node":
            raise EsError(403, "security_exception", "this log search is open to the management token only")
        if req.get_header("Via", default="") == VIA:
            reason = (
                f"logs.elasticsearch_url {self._url} leads back to this log search: name the one that keeps the entries"
            )
            raise EsError(508, "illegal_state_exception", reason)
        check_path(call)
        if is_restricted(call) and call.method == "PUT" and (prepared := set_up(call)) is not None:
            write_reply(req, resp, prepared)
        elif is_restricted(call) and is_bulk(call):
            await self._append(call, req, resp)
        else:
            _write(resp, *await self._ask(call, req))

    async def _append(self, call: Call, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """`_bulk`, of which only what adds entries is passed on. What is refused as a whole is answered as it comes."""
        actions = actions_to_pass(call)
        call.body, raw = lines_of(actions), b""
        call.params.pop("filter_path", None)  # applied to the whole answer, by `write_reply`
        if call.body:
            status, content_type, raw = await self._ask(call, req)
            if status != 200:
                _write(resp, status, content_type, raw)
                return
        write_reply(req, resp, Reply(merged(actions, raw)))

    async def _ask(self, call: Call, req: falcon.asgi.Request) -> tuple[int, str, bytes]:
        query, body = what_to_pass(call, Context(time.time_ns() // 1000))
        headers = {name: value for name in _PASSED if (value := req.get_header(name))}
        path = quote(call.path, safe=_UNQUOTED)
        return await self._send(call.method, f"{path}?{query}" if query else path, body, headers)

    async def newest(self, query: tree.Query, count: int) -> tuple[list[dict[str, Any]], int]:
        """The sources of the newest entries, and how many match."""
        body = {"query": to_dsl(query), "size": count, "sort": [{"@timestamp": "desc"}]}
        headers = {"Content-Type": "application/json"}
        status, _, raw = await self._send("POST", "/_search", msgspec.json.encode(body), headers)
        if status >= 300:
            raise BadInput(f"{self._url} answers {status}: {raw[:300].decode(errors='replace')}")
        found = msgspec.json.decode(raw)["hits"]
        return [hit["_source"] for hit in found["hits"]], int(found["total"]["value"])

    async def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=TIMEOUT, connector=aiohttp.TCPConnector(ssl=self._tls or True)
            )
        try:
            async with self._session.request(
                method, URL(self._url + path, encoded=True), data=body or None, headers={**headers, **self._headers}
            ) as answer:
                return answer.status, answer.headers.get("Content-Type", "application/json"), await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"logs.elasticsearch_url {self._url}: {str(error) or type(error).__name__}") from error

    async def close(self) -> None:
        """Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _write(resp: falcon.asgi.Response, status: int, content_type: str, raw: bytes) -> None:
    resp.status, resp.content_type, resp.data = status, content_type, raw
    resp.set_header("X-Elastic-Product", "Elasticsearch")
