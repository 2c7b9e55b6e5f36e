"""The application: routes of the Elasticsearch API, and the page for people."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon
import falcon.asgi

from kokiris.http.app import make_app
from kokiris.http.pages import ALONE, Frame
from kokiris.http.tokens import Principal
from kokiris.kernel.errors import Busy
from kokiris.logs.api import startup
from kokiris.logs.api.absent import not_here
from kokiris.logs.api.bulk import Action, answer, incoming_of, parse_bulk, refused
from kokiris.logs.api.call import (
    Call,
    EsError,
    Reply,
    TokenCheck,
    body_of,
    params_of,
    secret_in,
    write_error,
    write_reply,
)
from kokiris.logs.api.page import Page
from kokiris.logs.api.readers import INDEX_PREFIX, Readers
from kokiris.logs.api.upstream import Upstream
from kokiris.logs.index.log_index import LogIndex

PREFIXES = ("/elasticsearch", "/es")
"""Base paths that shippers may have in their configuration."""
_OF_AN_INDEX = re.compile(r"/_(?:doc|create|update|source|settings|mapping|delete_by_query)(?:/.*)?")
"""Calls that only make sense after an index: there, the base path is the index's name."""
_INDEX = r"(?P<index><[^>]+>|[^/_][^/]*)"
"""A name, or one with date math (`<logs-{now/d}>`), which may hold a slash."""
Handler = Callable[[Call], Awaitable[Reply]]


def make_logs_app(
    index: LogIndex, tokens: TokenCheck, *, cluster: str, upstream: Upstream | None = None, frame: Frame = ALONE
) -> falcon.asgi.App[Any, Any]:
    """Serve `kokiris.http.app.asgi(app)`. `cluster` is shown as the cluster's name. With
    `upstream`, that answers everything, and `index` holds what was taken before."""
    app = make_app(write_error)
    api = LogsApi(index, tokens, cluster=cluster)
    page = Page(index, tokens, frame, upstream)
    page.add_routes(app)

    async def handle(req: Any, resp: Any, **_: Any) -> None:
        wants_page = req.method == "GET" and "text/html" in (req.get_header("Accept") or "")
        if wants_page and req.path.startswith("/app/"):
            raise falcon.HTTPSeeOther("/")  # Kibana's own addresses, from habit and bookmarks
        if wants_page and req.path == "/":
            await page.show(req, resp)
            return
        if upstream is not None:
            await upstream.pass_on(await api.call_of(req), req, resp)
        else:
            write_reply(req, resp, await api.handle(req))
        if req.method == "HEAD":
            resp.data, resp.text = None, None

    app.add_sink(handle, prefix="/")
    return app


class LogsApi:
    """Finds the handler of a request. Searches run on threads of their own, so that ingest never waits for them."""

    def __init__(self, index: LogIndex, tokens: TokenCheck, *, cluster: str) -> None:
        self._index = index
        self._tokens = tokens
        self._cluster = cluster
        self._readers = Readers(index)
        self._searching = ThreadPoolExecutor(4, thread_name_prefix="search")
        self._taking = ThreadPoolExecutor(2, thread_name_prefix="take")
        read = self._read
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (methods, re.compile(pattern), handler)
            for methods, pattern, handler in (
                ("GET HEAD", "/", self._info),
                ("POST PUT", rf"(?:/{_INDEX})?/_bulk", self._bulk),
                ("GET POST", rf"(?:/{_INDEX})?/_search", read(self._readers.search)),
                ("GET POST", r"/_search/scroll(?:/(?P<id>[^/]+))?", read(self._readers.scroll)),
                ("DELETE", r"/_search/scroll(?:/(?P<id>[^/]+))?", read(self._readers.end_scroll)),
                ("POST", rf"(?:/{_INDEX})?/_pit", read(self._readers.open_point)),
                ("DELETE", "/_pit", read(self._readers.close_point)),
                ("POST", rf"(?:/{_INDEX})?/_search/point_in_time", read(self._readers.open_point)),
                ("DELETE", "/_search/point_in_time", read(self._readers.close_point)),
                ("GET POST", rf"(?:/{_INDEX})?/_msearch", read(self._readers.msearch)),
                ("GET POST", rf"(?:/{_INDEX})?/_count", read(self._readers.count)),
                ("GET POST", rf"(?:/{_INDEX})?/_field_caps", read(self._readers.field_caps)),
                ("GET", rf"(?:/{_INDEX})?/_mappings?", read(self._readers.mapping)),
                ("GET", rf"/_cat/indices(?:/{_INDEX})?", read(self._readers.indices)),
                ("GET", rf"(?:/{_INDEX})?/_settings(?:/.*)?", read(self._readers.settings)),
                ("GET", rf"/_cat/count(?:/{_INDEX})?", read(self._readers.cat_count)),
                ("GET", r"/_cat/(?:templates|aliases|health|nodes)(?:/.*)?", self._empty_text),
                ("GET", rf"/_resolve/index/{_INDEX}", read(self._readers.resolve)),
                ("GET", rf"(?:/{_INDEX})?/_stats(?:/.*)?", read(self._readers.stats)),
                ("GET", rf"/_cluster/health(?:/{_INDEX})?", self._health),
                ("GET", "/_cluster/settings", _constant(startup.SETTINGS)),
                ("GET", "/_license", _constant(startup.LICENSE)),
                ("GET", "/_xpack", _constant(startup.XPACK)),
                ("GET", r"/_nodes(?:/.*)?", _constant({"nodes": {}})),
                ("GET HEAD", rf"(?:/{_INDEX})?/_alias(?:es)?(?:/.*)?", _constant({})),
                ("POST PUT", r"/_aliases", _constant(startup.ACKNOWLEDGED)),
                ("GET POST", rf"(?:/{_INDEX})?/_(?:refresh|flush|forcemerge)", self._refresh),
                ("POST", rf"/{_INDEX}/_doc", self._one),
                ("PUT POST", rf"/{_INDEX}/_(?P<action>doc|create)/(?P<id>[^/]+)", self._one),
                ("GET HEAD", rf"/{_INDEX}/_(?:doc|source)/(?P<id>[^/]+)", read(self._readers.document)),
                ("HEAD GET", rf"/{_INDEX}", read(self._readers.mapping)),
                ("PUT", rf"/{_INDEX}(?:/_settings|/_mapping)?", self._create_index),
                ("DELETE", rf"/{_INDEX}", self._delete_index),
            )
        ]

    async def handle(self, req: falcon.asgi.Request) -> Reply:
        """Raises KokirisError; `call.write_error` writes it in Elasticsearch's form."""
        call = await self.call_of(req)
        prepared = startup.set_up(call)
        if prepared is not None:
            return prepared
        for methods, pattern, handler in self._routes:
            match = pattern.fullmatch(call.path)
            if match is not None and call.method in methods.split():
                call.parts = {name: value for name, value in match.groupdict().items() if value}
                return await handler(call)
        raise not_here(call)

    async def call_of(self, req: falcon.asgi.Request) -> Call:
        """The request, after its token was checked. Raises EsError (401)."""
        principal = await self._principal(req)
        return Call(req.method, _path(req.path), {}, params_of(req), await body_of(req), principal)

    async def _principal(self, req: falcon.asgi.Request) -> Principal:
        secret = secret_in(req)
        principal = await self._tokens.check(secret) if secret else None
        if principal is None:
            reason = "unable to authenticate with the token given" if secret else "missing authentication credentials"
            raise EsError(401, "security_exception", f"{reason} for REST request [{req.path}]")
        return principal

    # ---- writing ----------------------------------------------------------------------------------------------------

    async def _bulk(self, call: Call) -> Reply:
        return await asyncio.get_running_loop().run_in_executor(self._taking, self._take, call)

    def _take(self, call: Call) -> Reply:
        started_s = time.perf_counter()
        actions = parse_bulk(call.body, call.parts.get("index", ""))
        try:
            taken = self._index.take(incoming_of(actions))
        except Busy as error:
            return Reply(refused(actions, error), error.http_status)
        if call.params.get("refresh", "false") != "false":
            self._index.refresh()
        return Reply(answer(actions, taken, int((time.perf_counter() - started_s) * 1000)))

    async def _one(self, call: Call) -> Reply:
        document = call.json()
        if not isinstance(document, dict):
            raise EsError(400, "mapper_parsing_exception", "a document is a JSON object")
        name = "create" if call.parts.get("action") == "create" or call.params.get("op_type") == "create" else "index"
        action = Action(name, call.parts["index"], call.parts.get("id", ""), document)
        taken = await asyncio.get_running_loop().run_in_executor(self._taking, self._index.take, incoming_of([action]))
        item = answer([action], taken, 0)["items"][0][name]
        if "error" in item:
            raise EsError(item["status"], item["error"]["type"], item["error"]["reason"])
        if call.params.get("refresh", "false") != "false":
            await asyncio.get_running_loop().run_in_executor(self._searching, self._index.refresh)
        return Reply({name: value for name, value in item.items() if name != "status"}, item["status"])

    async def _refresh(self, call: Call) -> Reply:
        del call
        await asyncio.get_running_loop().run_in_executor(self._searching, self._index.refresh)
        return Reply({"_shards": {"total": 1, "successful": 1, "failed": 0}})

    async def _create_index(self, call: Call) -> Reply:
        return Reply({"acknowledged": True, "shards_acknowledged": True, "index": call.parts["index"]})

    async def _delete_index(self, call: Call) -> Reply:
        """Removes a day; anything else is not ours to remove."""
        if not call.principal.is_management:
            raise EsError(403, "security_exception", "removing an index needs the management token")
        name = call.parts["index"]
        day = name.removeprefix(INDEX_PREFIX).replace(".", "-")
        if not name.startswith(INDEX_PREFIX) or day not in {one.name for one in self._index.days()}:
            raise EsError(404, "index_not_found_exception", f"no such index [{name}]")
        self._index.remove_day(day)
        return Reply(startup.ACKNOWLEDGED)

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _read(self, handler: Callable[[Call], Reply]) -> Handler:
        async def on_thread(call: Call) -> Reply:
            return await asyncio.get_running_loop().run_in_executor(self._searching, handler, call)

        return on_thread

    async def _info(self, call: Call) -> Reply:
        del call
        return Reply(startup.info(self._cluster))

    async def _health(self, call: Call) -> Reply:
        del call
        warning = await asyncio.get_running_loop().run_in_executor(self._searching, self._index.warning)
        return Reply(startup.health(self._cluster, warning))

    async def _empty_text(self, call: Call) -> Reply:
        return Reply([] if "json" in call.params.get("format", "") else "")


def _constant(body: Any) -> Handler:
    async def reply(call: Call) -> Reply:
        del call
        return Reply(body)

    return reply


def _path(path: str) -> str:
    for prefix in PREFIXES:
        if path == prefix or (path.startswith(prefix + "/") and not _OF_AN_INDEX.fullmatch(path[len(prefix) :])):
            path = path[len(prefix) :]
    return path.rstrip("/") or "/"
