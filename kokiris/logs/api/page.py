"""The plain search page: a query, a time range, a table, newest first; refreshed by itself when asked to follow."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlencode

import falcon.asgi

from kokiris.http.pages import Frame, Markup, commands, escaped, marked, note
from kokiris.http.signin import SignIn
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
RANGES = {"15m": "15 minutes", "1h": "hour", "6h": "6 hours", "24h": "day", "7d": "7 days"}
ALL = "all"
DEFAULT_RANGE = "1h"
SHOWN = {
    "": ("everything", ()),
    "output": ("output of tasks", ("stdout", "stderr")),
    "requests": ("requests", ("access",)),
    "events": ("events", ("event",)),
}
"""What is shown → its name, and the streams it means; none: all."""
FOLLOW_S = 3
_HELP = commands(
    "From the command line: the Elasticsearch API is at this address, for whoever sends the token",
    'eval "$(kokiris env)"',
    "kokiris logs 'job:shop and level:error' -since 1h -f",
)


class Page:
    """`/` for browsers, `/sign-in`, `/sign-out`."""

    def __init__(self, index: LogIndex, tokens: TokenCheck, frame: Frame, upstream: Upstream | None = None) -> None:
        self._index = index
        self._upstream = upstream
        self._sign_in = SignIn(frame, tokens.check, here="kib", title=TITLE, path="/", cookie="kokiris_logs")

    def add_routes(self, app: falcon.asgi.App[Any, Any]) -> None:
        self._sign_in.add_routes(app)

    async def show(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        principal = self._sign_in.require(req)
        asked = {name: values[-1] for name, values in parse_qs(req.query_string).items()}
        content = await self._content(asked, principal)
        if asked.get("follow"):
            resp.set_header("Refresh", str(FOLLOW_S))
        self._sign_in.send(resp, TITLE, content)

    async def _content(self, asked: dict[str, str], principal: Principal) -> Markup:
        text, span = asked.get("q", ""), asked.get("range", DEFAULT_RANGE)
        warning = await asyncio.to_thread(self._index.warning)
        head = note(warning or "")
        form = _form(asked, text, span)
        now_us = time.time_ns() // 1000
        try:
            query = self._query(text, span, asked.get("lang", "kql"), now_us)
            query = tree.both(query, _shown(asked.get("show", "")))
            sources, total = await self._found(tree.both(query, visible_to(principal)), principal, now_us)
        except KokirisError as error:
            return Markup(f"{head}{form}{_fault(error)}")
        shown = ("1 entry" if total == 1 else f"{total:,} entries") + (f", the newest {ROWS}" if total > ROWS else "")
        rows = "".join(_row(source, words_of_query(query), asked) for source in sources)
        return Markup(f'{head}{form}<p class="soft">{shown}</p>{rows}{_HELP}')

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
        if span not in RANGES:
            return query
        return tree.both(query, comparison("@timestamp", ">=", f"now-{span}", now_us))


def _shown(name: str) -> tree.Query:
    streams = SHOWN.get(name, SHOWN[""])[1]
    return tree.AnyOf("stream", streams) if streams else tree.All()


def _options(pairs: Iterable[tuple[str, str]], chosen: str) -> str:
    return "".join(
        f'<option value="{value}"{" selected" if value == chosen else ""}>{name}</option>' for value, name in pairs
    )


def _form(asked: dict[str, str], text: str, span: str) -> Markup:
    shown = _options(((value, name) for value, (name, _) in SHOWN.items()), asked.get("show", ""))
    ranges = _options([*((value, f"last {name}") for value, name in RANGES.items()), (ALL, "all time")], span)
    languages = _options((("kql", "KQL"), ("lucene", "Lucene")), asked.get("lang", "kql"))
    return Markup(
        f'<form class="line" method="get" action="/"><input type="search" name="q" value="{html.escape(text)}" '
        'placeholder="job:shop and status &gt;= 500" aria-label="Query" autocapitalize="off" spellcheck="false">'
        f'<select name="show" aria-label="What to show">{shown}</select>'
        f'<select name="range" aria-label="Time range">{ranges}</select>'
        f'<select name="lang" aria-label="Query language">{languages}</select>'
        f'<label><input type="checkbox" name="follow" value="1"{" checked" if asked.get("follow") else ""}> follow'
        "</label><button>Search</button></form>"
    )


def _fault(error: KokirisError) -> Markup:
    if isinstance(error, QueryError) and error.position:
        before, after = error.text[: error.position - 1], error.text[error.position - 1 :]
        place = f"<pre class=box>{escaped(before)}<mark>{escaped(after) or '(end)'}</mark></pre>"
    else:
        place = ""
    return Markup(f"{note(error.message)}{place}")


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
    look = f'"row event" data-level="{html.escape(level)}"' if is_event else '"row"'
    return f"<div class={look}><span>{when} {marked(level)} {' '.join(place)}</span><pre>{shown}</pre></div>"


def _badge(source: dict[str, Any], asked: dict[str, str]) -> str:
    """What kind of event: "Allocation Started"."""
    event = source.get("event")
    facts: dict[str, Any] = event if isinstance(event, dict) else {}
    kind, name = (facts[one] if isinstance(facts.get(one), str) else "" for one in ("kind", "type"))
    link = _link("event.type", name, asked) if name else "event"
    return f'<span class="badge">{html.escape(kind)} {link}</span>'


def _link(name: str, value: str, asked: dict[str, str]) -> str:
    """Narrows the search down to this value."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    clause = f'{name}:"{quoted}"'
    text = asked.get("q", "").strip()
    query = {**asked, "q": f"({text}) and {clause}" if text and clause not in text else clause}
    label = value[:8] if name == "alloc" else value
    return f'<a title="{html.escape(name)}" href="/?{html.escape(urlencode(query))}">{html.escape(label)}</a>'
