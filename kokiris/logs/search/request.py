"""The body of a search, read and checked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from kokiris.logs.model import INTEGERS, KEYWORDS, TIME
from kokiris.logs.query import tree
from kokiris.logs.query.dsl import Context, parse_dsl
from kokiris.logs.query.fields import Kind, places
from kokiris.logs.query.tree import QueryError

MAX_WINDOW = 10_000
"""`from` + `size`; beyond, `search_after` goes on."""
DEFAULT_SIZE = 10
_BY_ARRIVAL = frozenset({"_doc", "_shard_doc", "_seq_no", "_score", "_id"})
_KNOWN = frozenset(
    {"query", "size", "from", "sort", "search_after", "aggs", "aggregations", "_source", "track_total_hits", "fields",
     "docvalue_fields", "stored_fields", "highlight", "timeout", "version", "script_fields", "track_scores", "explain",
     "seq_no_primary_term", "post_filter", "min_score", "runtime_mappings", "pit", "profile", "terminate_after",
     "indices_boost", "stats"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SortField:
    """`by_arrival`: the order in which entries came, which is also the last resort."""

    name: str
    descending: bool
    by_arrival: bool = False
    form: str = ""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """See Elasticsearch's `_search`."""

    query: tree.Query
    size: int = DEFAULT_SIZE
    offset: int = 0
    sort: tuple[SortField, ...] = ()
    search_after: tuple[Any, ...] = ()
    aggregations: dict[str, Any] | None = None
    source: Any = True
    total: bool = True
    fields: tuple[tuple[str, str], ...] = ()
    """(name or pattern, format)."""
    highlight: dict[str, Any] | None = None
    last_sequence: int | None = None
    """Entries that were acknowledged after the one with this number do not count."""


def parse_search(body: object, context: Context) -> SearchRequest:
    """Raises QueryError."""
    if not isinstance(body, dict):
        raise QueryError("the body of a search is a JSON object")
    for name in body:
        if name not in _KNOWN:
            raise QueryError(f"unknown key [{name}] in a search")
    query = parse_dsl(body["query"], context) if body.get("query") else tree.All()
    if body.get("post_filter"):
        query = tree.both(query, parse_dsl(body["post_filter"], context))
    size, offset = _count(body, "size", DEFAULT_SIZE), _count(body, "from", 0)
    if size + offset > MAX_WINDOW:
        raise QueryError(
            f"Result window is too large, from + size must be less than or equal to: [{MAX_WINDOW}] but was "
            f"[{size + offset}]; go on with search_after"
        )
    sort = _sort(body.get("sort"))
    if body.get("pit") and not (sort and sort[-1].by_arrival):
        # as Elasticsearch does, so that pages neither lose nor repeat what is equal otherwise
        sort = (*sort, SortField("_shard_doc", bool(sort) and sort[0].descending, by_arrival=True))
    after = body.get("search_after") or ()
    if after and (not isinstance(after, list) or not 1 <= len(after) <= max(1, len(sort))):
        raise QueryError(f"search_after must have {max(1, len(sort))} value(s), as the sort has")
    highlight = body.get("highlight")
    return SearchRequest(
        query=query,
        size=size,
        offset=offset,
        sort=sort,
        search_after=tuple(after),
        aggregations=body.get("aggs") or body.get("aggregations"),
        source=body.get("_source", True),
        total=body.get("track_total_hits", True) is not False,
        fields=tuple(
            sorted((*_fields(body.get("fields")), *_fields(body.get("docvalue_fields"))), key=lambda one: bool(one[1]))
        ),
        highlight=highlight if isinstance(highlight, dict) else None,
    )


def _count(body: dict[str, Any], name: str, default: int) -> int:
    value = body.get(name, default)
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise QueryError(f"[{name}] must be a number of 0 or more, found [{value}]")
    return value


def _sort(given: object) -> tuple[SortField, ...]:
    """Without one: the newest first."""
    if given is None or given == []:
        return ()
    return tuple(_sort_field(one) for one in (given if isinstance(given, list) else [given]))


def _sort_field(given: object) -> SortField:
    form = ""
    if isinstance(given, str):
        name, _, order = given.partition(":")
        descending = order == "desc" if order else name == "_score"
    elif isinstance(given, dict) and len(given) == 1:
        ((name, options),) = given.items()
        settings = options if isinstance(options, dict) else {"order": options}
        descending = str(settings.get("order", "desc" if name == "_score" else "asc")).lower() == "desc"
        form = str(settings.get("format", ""))
    else:
        raise QueryError(f"[sort] expects field names or {{field: order}}, found [{str(given)[:100]}]")
    if name in _BY_ARRIVAL:
        return SortField(name, descending, by_arrival=True)
    place = (places(name) or (None,))[0]
    if place is None or (place.kind is not Kind.TIME and place.name not in (*KEYWORDS, *INTEGERS)):
        sortable = ", ".join((TIME, *KEYWORDS, *INTEGERS))
        raise QueryError(f"sorting by [{name}] is not supported; sortable are {sortable}")
    return SortField(TIME if place.kind is Kind.TIME else place.name, descending, form=form)


def _fields(given: object) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for one in given if isinstance(given, list) else []:
        if isinstance(one, dict):
            found.append((str(one.get("field", "")), str(one.get("format", ""))))
        else:
            found.append((str(one), ""))
    return tuple(found)


def filtered_source(document: dict[str, Any], wanted: Any) -> dict[str, Any]:
    """What `_source` picks of a document: a pattern, a list of them, or includes and excludes."""
    if isinstance(wanted, dict):
        includes, excludes = _list(wanted.get("includes")), _list(wanted.get("excludes"))
    else:
        includes, excludes = _list(wanted), []
    return _pick(document, "", includes, excludes)


def _list(given: object) -> list[str]:
    return [] if given is None else [str(one) for one in (given if isinstance(given, list) else [given])]


def _pick(value: dict[str, Any], path: str, includes: list[str], excludes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in value.items():
        here = f"{path}{name}"
        if any(fnmatchcase(here, pattern) for pattern in excludes):
            continue
        if not includes or any(fnmatchcase(here, pattern) for pattern in includes):
            found[name] = _pick(inner, f"{here}.", [], excludes) if isinstance(inner, dict) else inner
        elif isinstance(inner, dict) and (picked := _pick(inner, f"{here}.", includes, excludes)):
            found[name] = picked
    return found


def time_bounds(query: tree.Query) -> tuple[int | None, int | None]:
    """Outside these times (unix µs) nothing matches: days beyond need not be searched."""
    if isinstance(query, tree.TimeRange):
        return query.low_us, query.high_us
    if not isinstance(query, tree.And):
        return None, None
    lows, highs = [], []
    for part in query.parts:
        low, high = time_bounds(part)
        lows += [low] if low is not None else []
        highs += [high] if high is not None else []
    return max(lows, default=None), min(highs, default=None)
