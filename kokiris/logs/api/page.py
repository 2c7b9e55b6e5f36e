"""The plain search page: a query, a time range, a table, newest first; refreshed by itself when asked to follow."""

from __future__ import annotations

import asyncio
import hashlib
import html
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlencode

import falcon
import falcon.asgi

from kokiris.http.app import read_body
from kokiris.http.pages import FORM_LIMIT_BYTES, Markup, SignIn, escaped, send_page
from kokiris.http.tokens import Principal
from kokiris.kernel.errors import Forbidden, KokirisError
from kokiris.logs.api.call import TokenCheck
from kokiris.logs.api.readers import visible_to
from kokiris.logs.api.upstream import Upstream
from kokiris.logs.index.catalogue import merged
from kokiris.logs.index.log_index import LogIndex
from kokiris.logs.model import message_field
from kokiris.logs.query import tree
from kokiris.logs.query.comparison import comparison
from kokiris.logs.query.kql import parse_kql
from kokiris.logs.query.lucene import parse_lucene
from kokiris.logs.query.tree import QueryError
from kokiris.logs.search.hits import find
from kokiris.logs.search.rendering import mark, words_of_query
from kokiris.logs.search.request import SearchRequest

TITLE = "Logs"
ROWS = 200
RANGES = {"15m": "15 minutes", "1h": "hour", "6h": "6 hours", "24h": "day", "7d": "7 days", "all": "time"}
DEFAULT_RANGE = "1h"
SHOWN = {
    "": ("everything", ()),
    "output": ("output of tasks", ("stdout", "stderr")),
    "requests": ("requests", ("access",)),
    "events": ("events", ("event",)),
}
"""What is shown → its name, and the streams it means; none: all."""
FOLLOW_S = 3
LEVEL_CLASS = {"error": "critical", "fatal": "critical", "warn": "warning"}
_STYLE = Markup(
    "<style>form.q{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center}"
    "form.q input[name=q]{flex:1 1 16rem;min-width:0}"
    ".row{border-bottom:1px solid #e3e6eb;padding:.35rem 0 .35rem .6rem;border-left:3px solid transparent}"
    ".event{background:#f3f6fc;border-left-color:#4b74c9}.event.warn{border-left-color:#c98a00}"
    ".event.error{border-left-color:#b3261e}.meta{color:#5b6472;font-size:13px}"
    ".badge{background:#dfe8fa;border-radius:3px;padding:0 .35rem}"
    "pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.45 ui-monospace,monospace}"
    "select{font:inherit;padding:.4rem}mark{background:#ffe9a8}</style>"
)


class _Checked:
    """What `SignIn` asks for, answered from what was just found out."""

    def __init__(self) -> None:
        self._principal: tuple[str, Principal] | None = None

    def remember(self, secret: str, principal: Principal) -> None:
        self._principal = (_digest(secret), principal)

    def authenticate(self, secret: str) -> Principal | None:
        known, self._principal = self._principal, None
        return known[1] if known is not None and known[0] == _digest(secret) else None


class Page:
    """`/` for browsers, `/sign-in`, `/sign-out`."""

    def __init__(self, index: LogIndex, tokens: TokenCheck, upstream: Upstream | None = None) -> None:
        self._index = index
        self._upstream = upstream
        self._tokens = tokens
        self._checked = _Checked()
        self._sign_in = SignIn(self._checked, title=TITLE, path="/", cookie="kokiris_logs")

    def add_routes(self, app: falcon.asgi.App[Any, Any]) -> None:
        app.add_route("/sign-in", self)
        app.add_route("/sign-out", _SignOut(self._sign_in))

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._sign_in.send_form(resp)

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Signs in with a token that the servers know."""
        body = await read_body(req, FORM_LIMIT_BYTES)
        secret = parse_qs(body.decode(errors="replace")).get("token", [""])[0].strip()
        principal = await self._tokens.check(secret) if secret else None
        if principal is not None:
            self._checked.remember(secret, principal)
        if principal is not None and self._sign_in.open_session(resp, secret):
            resp.status = falcon.HTTP_303
            resp.set_header("Location", "/")
            return
        resp.status = falcon.HTTP_403
        self._sign_in.send_form(resp, "This token opens nothing here.")

    async def show(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        principal = self._sign_in.require(req)
        asked = {name: values[-1] for name, values in parse_qs(req.query_string).items()}
        content = await self._content(asked, principal)
        if asked.get("follow"):
            resp.set_header("Refresh", str(FOLLOW_S))
        send_page(resp, TITLE, content, sign_out=self._sign_in.sign_out_path)

    async def _content(self, asked: dict[str, str], principal: Principal) -> Markup:
        text, span = asked.get("q", ""), asked.get("range", DEFAULT_RANGE)
        warning = await asyncio.to_thread(self._index.warning)
        head = Markup(f'<p class="critical">{escaped(warning)}</p>') if warning else Markup("")
        form = _form(asked, text, span)
        now_us = time.time_ns() // 1000
        try:
            query = self._query(text, span, asked.get("lang", "kql"), now_us)
            query = tree.both(query, _shown(asked.get("show", "")))
            sources, total = await self._found(tree.both(query, visible_to(principal)), principal, now_us)
        except KokirisError as error:
            return Markup(f"{_STYLE}{head}{form}{_fault(error)}")
        shown = ("1 entry" if total == 1 else f"{total:,} entries") + (f", the newest {ROWS}" if total > ROWS else "")
        rows = "".join(_row(source, words_of_query(query), asked) for source in sources)
        return Markup(f'{_STYLE}{head}{form}<p class="none">{shown}</p>{rows}')

    async def _found(self, query: tree.Query, principal: Principal, now_us: int) -> tuple[list[dict[str, Any]], int]:
        if self._upstream is not None:
            if not principal.is_management:
                raise Forbidden("this log search is open to the management token only")
            return await self._upstream.newest(query, ROWS)
        request = SearchRequest(query=query, size=ROWS)
        hits, total = await asyncio.to_thread(find, self._index.days(), request, now_us)
        return [hit.source() for hit in hits], total

    def _query(self, text: str, span: str, language: str, now_us: int) -> tree.Query:
        if language == "lucene":
            query = parse_lucene(text, now_us=now_us) if text.strip() else tree.All()
        else:
            known = tuple(merged([day.catalogue for day in self._index.days()]))
            query = parse_kql(text, now_us=now_us, known_fields=known)
        if span not in RANGES or span == "all":
            return query
        return tree.both(query, comparison("@timestamp", ">=", f"now-{span}", now_us))


class _SignOut:
    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._sign_in.close_session(req, resp)
        resp.status = falcon.HTTP_303
        resp.set_header("Location", "/")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _shown(name: str) -> tree.Query:
    streams = SHOWN.get(name, SHOWN[""])[1]
    return tree.AnyOf("stream", streams) if streams else tree.All()


def _options(pairs: Iterable[tuple[str, str]], chosen: str) -> str:
    return "".join(
        f'<option value="{value}"{" selected" if value == chosen else ""}>{name}</option>' for value, name in pairs
    )


def _form(asked: dict[str, str], text: str, span: str) -> Markup:
    shown = _options(((value, name) for value, (name, _) in SHOWN.items()), asked.get("show", ""))
    ranges = _options(((value, f"last {name}") for value, name in RANGES.items()), span)
    languages = _options((("kql", "KQL"), ("lucene", "Lucene")), asked.get("lang", "kql"))
    return Markup(
        f'<form class="q" method="get" action="/"><input name="q" value="{html.escape(text)}" '
        'placeholder="job:shop and status &gt;= 500" aria-label="query" autocapitalize="off" spellcheck="false">'
        f'<select name="show" aria-label="what to show">{shown}</select>'
        f'<select name="range" aria-label="time range">{ranges}</select>'
        f'<select name="lang" aria-label="query language">{languages}</select>'
        f'<label><input type="checkbox" name="follow" value="1"{" checked" if asked.get("follow") else ""}> follow'
        "</label><button>Search</button></form>"
    )


def _fault(error: KokirisError) -> Markup:
    if isinstance(error, QueryError) and error.position:
        before, after = error.text[: error.position - 1], error.text[error.position - 1 :]
        place = f"<pre>{escaped(before)}<mark>{escaped(after) or '(end)'}</mark></pre>"
    else:
        place = ""
    return Markup(f'<p class="critical">{escaped(error.message)}</p>{place}')


def _row(source: dict[str, Any], wanted: set[str], asked: dict[str, str]) -> str:
    level = str(source.get("level", ""))
    is_event = source.get("stream") == "event"
    place = [
        _link(name, str(source[name]), asked)
        for name in ("job", "task", "service", "alloc", "node", "stream", "status")
        if source.get(name) and not (is_event and name == "stream")
    ]
    if is_event:
        place.insert(0, _badge(source, asked))
    message = message_field(source)
    text = str(source[message] if message else {k: v for k, v in source.items() if k != "@timestamp"})
    shown = html.escape(mark(text[:4000], wanted, "\x02", "\x03") or text[:4000])
    shown = shown.replace("\x02", "<mark>").replace("\x03", "</mark>")
    when = html.escape(str(source.get("@timestamp", ""))[:23].replace("T", " "))
    look = f"row event {html.escape(level)}" if is_event else "row"
    meta = f'<span class="meta">{when} {marked_level(level)} {" ".join(place)}</span>'
    return f'<div class="{look}">{meta}<pre>{shown}</pre></div>'


def _badge(source: dict[str, Any], asked: dict[str, str]) -> str:
    """What kind of event: "Allocation Started"."""
    event = source.get("event")
    facts: dict[str, Any] = event if isinstance(event, dict) else {}
    kind, name = (facts[one] if isinstance(facts.get(one), str) else "" for one in ("kind", "type"))
    link = _link("event.type", name, asked) if name else "event"
    return f'<span class="badge">{html.escape(kind)} {link}</span>'


def marked_level(level: str) -> str:
    """A level in its colour."""
    return f'<span class="{LEVEL_CLASS.get(level, "")}">{html.escape(level)}</span>' if level else ""


def _link(name: str, value: str, asked: dict[str, str]) -> str:
    """Narrows the search down to this value."""
    clause = f'{name}:"{value}"'
    text = asked.get("q", "").strip()
    query = {**asked, "q": f"({text}) and {clause}" if text and clause not in text else clause}
    label = value[:8] if name == "alloc" else value
    return f'<a href="/?{html.escape(urlencode(query))}">{html.escape(label)}</a>'
