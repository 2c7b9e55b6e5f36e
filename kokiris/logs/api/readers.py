"""The reading endpoints: search, count, fields, indices. Blocking: called on a thread."""

from __future__ import annotations

import time
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from kokiris.http.tokens import Principal
from kokiris.kernel.errors import KokirisError
from kokiris.logs.api.call import Call, EsError, Reply, error_body
from kokiris.logs.api.point_in_time import PointInTime, at, point_of
from kokiris.logs.api.scroll import Scrolls
from kokiris.logs.index.catalogue import merged
from kokiris.logs.index.day import DayIndex
from kokiris.logs.index.log_index import LogIndex
from kokiris.logs.model import INTEGERS, KEYWORDS, MESSAGE, TIME
from kokiris.logs.query import tree
from kokiris.logs.query.dsl import Context, parse_dsl
from kokiris.logs.query.lucene import parse_lucene
from kokiris.logs.search.aggregations import aggregate
from kokiris.logs.search.hits import Hit, find, overlapping
from kokiris.logs.search.rendering import rendered
from kokiris.logs.search.request import SearchRequest, parse_search

INDEX_PREFIX = "logs-"
SHARDS = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
PLATFORM_NAMESPACE = "platform"


def index_name(day: DayIndex) -> str:
    """ "logs-2026.11.23", as daily indices are named in the field."""
    return INDEX_PREFIX + day.name.replace("-", ".")


def addressed(index: LogIndex, pattern: str, *, lenient: bool) -> list[DayIndex]:
    """The days that an index pattern means, newest first. Any name but one of a day means all of them: shippers write
    under names of their own. Raises EsError for a day that is not there."""
    days = index.days()
    names = [name for name in pattern.split(",") if name]
    if not names or not all(_is_of_days(name) for name in names):
        return days
    known = {index_name(day) for day in days}
    for name in names:
        if "*" not in name and name not in known and not lenient:
            raise EsError(404, "index_not_found_exception", f"no such index [{name}]")
    return [day for day in days if any(fnmatchcase(index_name(day), name) for name in names)]


def _is_of_days(name: str) -> bool:
    """ "logs-2026.11.23", "logs-2026.*"; not "logs-*-*" or "logs-nginx-default", as data streams are called."""
    return name.startswith(INDEX_PREFIX) and name.removeprefix(INDEX_PREFIX)[:1].isdigit()


def visible_to(principal: Principal) -> tree.Query:
    """What a token may see: everything for the operator; for the client's tokens, all but the platform's own jobs."""
    if principal.is_operator or principal.kind == "node":
        return tree.All()
    return tree.Not(tree.Term("namespace", PLATFORM_NAMESPACE))


class Readers:
    """Of one index."""

    def __init__(self, index: LogIndex) -> None:
        self._index = index
        self._scrolls = Scrolls()

    def search(self, call: Call) -> Reply:
        pattern = call.parts.get("index", "")
        if "scroll" not in call.params:
            return Reply(self._search(call.json(), pattern, call))
        request = self._request(call.json(), pattern, call, lenient=True)
        identifier, request = self._scrolls.begin(request, pattern, call.principal.accessor_id)
        return Reply(self._scroll_page(identifier, request, pattern))

    def scroll(self, call: Call) -> Reply:
        """The next page of a search that was begun with `?scroll=`."""
        given = call.json()
        identifier = str(given.get("scroll_id") or call.params.get("scroll_id") or call.parts.get("id", ""))
        found = self._scrolls.next(identifier, call.principal.accessor_id)
        return Reply(self._scroll_page(identifier, found.request, found.pattern))

    def end_scroll(self, call: Call) -> Reply:
        given = call.json().get("scroll_id") or call.parts.get("id", "")
        return Reply({"succeeded": True, "num_freed": self._scrolls.end(given if isinstance(given, list) else [given])})

    def open_point(self, call: Call) -> Reply:
        """`_pit`, and OpenSearch's `_search/point_in_time`: all that is acknowledged by now."""
        point = PointInTime(self._index.sequence, call.parts.get("index", ""))
        self._index.refresh()
        if call.path.endswith("/_pit"):
            return Reply({"id": point.identifier, "_shards": SHARDS})
        return Reply({"pit_id": point.identifier, "_shards": SHARDS, "creation_time": time.time_ns() // 1_000_000})

    def close_point(self, call: Call) -> Reply:
        """Nothing is kept for one, so nothing is to be freed."""
        body = call.json()
        if call.path.endswith("/_pit"):
            return Reply({"succeeded": True, "num_freed": 1 if body.get("id") else 0})
        closed = [{"successful": True, "pit_id": one} for one in body.get("pit_id") or []]
        return Reply({"pits": closed})

    def _scroll_page(self, identifier: str, request: SearchRequest, pattern: str) -> dict[str, Any]:
        answer, hits = self._answer(request, pattern, lenient=True)
        self._scrolls.advance(identifier, hits)
        return {"_scroll_id": identifier, **answer}

    def _request(self, body: Any, pattern: str, call: Call, *, lenient: bool) -> SearchRequest:
        now_us = time.time_ns() // 1000
        days = addressed(self._index, pattern, lenient=lenient)
        request = parse_search(_with_params(body, call.params), self._context(days, now_us))
        if "q" in call.params:
            request = _replaced(request, self._q(call, now_us))
        return _replaced(request, visible_to(call.principal))

    def _search(self, body: Any, pattern: str, call: Call, *, lenient: bool = False) -> dict[str, Any]:
        lenient = lenient or call.flag("ignore_unavailable")
        if isinstance(body, dict) and "pit" in body:
            point = point_of(body["pit"])
            request = at(point, self._request(body, point.pattern, call, lenient=True))
            return {"pit_id": point.identifier, **self._answer(request, point.pattern, lenient=True)[0]}
        return self._answer(self._request(body, pattern, call, lenient=lenient), pattern, lenient=lenient)[0]

    def _answer(self, request: SearchRequest, pattern: str, *, lenient: bool) -> tuple[dict[str, Any], list[Hit]]:
        started_s, now_us = time.perf_counter(), time.time_ns() // 1000
        days = addressed(self._index, pattern, lenient=lenient)
        hits, total = find(days, request, now_us)
        answer: dict[str, Any] = {"took": 0, "timed_out": False, "_shards": SHARDS, "hits": {}}
        if request.total:
            answer["hits"]["total"] = {"value": total, "relation": "eq"}
        answer["hits"]["max_score"] = None if request.sort or not hits else 1.0
        names = {day.name: index_name(day) for day in days}
        answer["hits"]["hits"] = [rendered(hit, request, names[hit.day.name]) for hit in hits]
        if request.aggregations:
            reached = overlapping(days, request.query)
            context = self._context(days, now_us)
            answer["aggregations"] = aggregate(reached, request.query, request.aggregations, context)
        answer["took"] = int((time.perf_counter() - started_s) * 1000)
        return answer, hits

    def msearch(self, call: Call) -> Reply:
        """Pairs of lines, header and body; each has its own answer, an error is one too."""
        started_s = time.perf_counter()
        lines = [line for line in call.body.split(b"\n") if line.strip()]
        if not lines or len(lines) % 2:
            raise EsError(400, "parse_exception", "msearch expects pairs of lines: a header and a search")
        responses = [self._one_of_many(lines[at], lines[at + 1], call) for at in range(0, len(lines), 2)]
        return Reply({"took": int((time.perf_counter() - started_s) * 1000), "responses": responses})

    def _one_of_many(self, header: bytes, body: bytes, call: Call) -> dict[str, Any]:
        try:
            settings, search = msgspec.json.decode(header), msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise EsError(400, "parse_exception", f"msearch: a line is not JSON: {error}") from None
        named = settings.get("index", call.parts.get("index", "")) if isinstance(settings, dict) else ""
        pattern = ",".join(named) if isinstance(named, list) else str(named)
        lenient = bool(isinstance(settings, dict) and settings.get("ignore_unavailable"))
        try:
            return {**self._search(search, pattern, call, lenient=lenient), "status": 200}
        except KokirisError as error:
            return error_body(error)

    def count(self, call: Call) -> Reply:
        now_us = time.time_ns() // 1000
        days = addressed(self._index, call.parts.get("index", ""), lenient=call.flag("ignore_unavailable"))
        body = call.json()
        query = parse_dsl(body["query"], self._context(days, now_us)) if body.get("query") else tree.All()
        if "q" in call.params:
            query = tree.both(query, self._q(call, now_us))
        query = tree.both(query, visible_to(call.principal))
        return Reply(
            {"count": sum(day.count(day.compile(query)) for day in overlapping(days, query)), "_shards": SHARDS}
        )

    def document(self, call: Call) -> Reply:
        """`GET /<index>/_doc/<id>`."""
        now_us = time.time_ns() // 1000
        query = tree.both(tree.Ids((call.parts["id"],)), visible_to(call.principal))
        hits, _ = find(self._index.days(), _replaced(parse_search({}, Context(now_us)), query), now_us)
        if not hits:
            return Reply({"_index": call.parts["index"], "_id": call.parts["id"], "found": False}, 404)
        found = {"_version": 1, "found": True, "_source": msgspec.Raw(hits[0].raw)}
        return Reply({"_index": index_name(hits[0].day), "_id": hits[0].identifier, **found})

    def _q(self, call: Call, now_us: int) -> tree.Query:
        every = call.params.get("default_operator", "or").lower() == "and"
        return parse_lucene(call.params["q"], now_us=now_us, default_field=call.params.get("df", ""), every=every)

    def _context(self, days: list[DayIndex], now_us: int) -> Context:
        return Context(now_us, tuple(merged([day.catalogue for day in days])))

    # ---- fields and indices -----------------------------------------------------------------------------------------

    def _types(self, pattern: str) -> dict[str, str]:
        """Field → type, of the days meant."""
        found = {TIME: "date", MESSAGE: "text", **dict.fromkeys(KEYWORDS, "keyword"), **dict.fromkeys(INTEGERS, "long")}
        for path, facts in merged([day.catalogue for day in addressed(self._index, pattern, lenient=True)]).items():
            found.setdefault(path, "double" if facts.numbers > facts.texts else "keyword")
        return found

    def field_caps(self, call: Call) -> Reply:
        body = call.json()
        wanted = body.get("fields") or call.params.get("fields", "*")
        patterns = wanted if isinstance(wanted, list) else str(wanted).split(",")
        fields = {
            name: {
                kind: {
                    "type": kind,
                    "metadata_field": False,
                    "searchable": True,
                    "aggregatable": kind != "text",
                }
            }
            for name, kind in sorted(self._types(call.parts.get("index", "")).items())
            if any(fnmatchcase(name, str(pattern)) for pattern in patterns)
        }
        return Reply({"indices": [index_name(day) for day in self._index.days()], "fields": fields})

    def mapping(self, call: Call) -> Reply:
        """Also whether an index exists: every name does, but that of a day without entries."""
        pattern = call.parts.get("index", "")
        days = addressed(self._index, pattern, lenient=call.flag("ignore_unavailable"))
        properties: dict[str, Any] = {}
        for name, kind in sorted(self._types(pattern).items()):
            _nest(properties, name.split("."), kind)
        return Reply({index_name(day): {"mappings": {"properties": properties}} for day in days})

    def indices(self, call: Call) -> Reply:
        """`_cat/indices`: text, or JSON with `?format=json`."""
        rows = [
            {
                "health": "green",
                "status": "open",
                "index": index_name(day),
                "uuid": day.name,
                "pri": "1",
                "rep": "0",
                "docs.count": str(day.documents),
                "docs.deleted": "0",
                "store.size": f"{day.size_bytes()}b",
                "pri.store.size": f"{day.size_bytes()}b",
            }
            for day in addressed(self._index, call.parts.get("index", ""), lenient=True)
        ]
        return _table(call, rows)

    def cat_count(self, call: Call) -> Reply:
        """`_cat/count`: when, and how many entries the days meant hold; JSON with `?format=json`."""
        counted = self.count(call).body["count"]
        now_s = int(time.time())
        row = {
            "epoch": str(now_s),
            "timestamp": time.strftime("%H:%M:%S", time.gmtime(now_s)),
            "count": str(counted),
        }
        return _table(call, [row])

    def settings(self, call: Call) -> Reply:
        """`_settings`: one shard, no replica, nothing to set. A name of a shipper's own has its answer under that."""
        pattern = call.parts.get("index", "")
        own = bool(pattern) and "*" not in pattern and not pattern.startswith(INDEX_PREFIX)
        days = [] if own else [index_name(day) for day in addressed(self._index, pattern, lenient=True)]
        found = {}
        for name in pattern.split(",") if own else days:
            facts = {"provided_name": name, "uuid": name, "number_of_shards": "1", "number_of_replicas": "0"}
            found[name] = {"settings": {"index": facts}}
        return Reply(found)

    def resolve(self, call: Call) -> Reply:
        names = [index_name(day) for day in addressed(self._index, call.parts.get("index", ""), lenient=True)]
        return Reply(
            {"indices": [{"name": one, "attributes": ["open"]} for one in names], "aliases": [], "data_streams": []}
        )

    def stats(self, call: Call) -> Reply:
        found = {}
        for day in addressed(self._index, call.parts.get("index", ""), lenient=True):
            facts = {"docs": {"count": day.documents, "deleted": 0}, "store": {"size_in_bytes": day.size_bytes()}}
            found[index_name(day)] = {"primaries": facts, "total": facts}
        total = {
            "docs": {"count": sum(one["total"]["docs"]["count"] for one in found.values()), "deleted": 0},
            "store": {"size_in_bytes": sum(one["total"]["store"]["size_in_bytes"] for one in found.values())},
        }
        return Reply({"_shards": SHARDS, "_all": {"primaries": total, "total": total}, "indices": found})


_SHORT = {"i": "index", "dc": "docs.count", "docsCount": "docs.count", "ss": "store.size", "storeSize": "store.size"}
"""Column names that people shorten."""


def _table(call: Call, rows: list[dict[str, str]]) -> Reply:
    """Rows of a `_cat` call: text, with a head on `?v`, or JSON with `?format=json`; `?h=` picks columns."""
    if rows and "h" in call.params:
        wanted = [_SHORT.get(name, name) for name in call.params["h"].split(",")]
        rows = [{name: row[name] for name in wanted if name in row} for row in rows]
    if "json" in call.params.get("format", ""):
        return Reply(rows)
    head = [list(rows[0])] if rows and call.flag("v") else []
    return Reply("".join(" ".join(row) + "\n" for row in [*head, *(list(row.values()) for row in rows)]))


def _nest(properties: dict[str, Any], path: list[str], kind: str) -> None:
    here = properties
    for part in path[:-1]:
        here = here.setdefault(part, {}).setdefault("properties", {})
    leaf = here.setdefault(path[-1], {})
    if "properties" not in leaf:
        leaf["type"] = kind


def _with_params(body: Any, params: dict[str, str]) -> Any:
    """`?size=`, `?from=`, `?sort=`, `?_source=` stand for what the body leaves out."""
    if not isinstance(body, dict):
        return body
    given = dict(body)
    for name in ("size", "from"):
        if name in params:
            given.setdefault(name, params[name])
    if "sort" in params:
        given.setdefault("sort", params["sort"].split(","))
    if "_source" in params:
        shown = params["_source"]
        given.setdefault("_source", shown == "true" if shown in {"true", "false"} else shown.split(","))
    if "track_total_hits" in params:
        given.setdefault("track_total_hits", params["track_total_hits"] != "false")
    return given


def _replaced(request: SearchRequest, also: tree.Query) -> SearchRequest:
    return replace(request, query=tree.both(request.query, also))
