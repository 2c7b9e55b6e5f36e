"""What of a request is passed on to somebody else's Elasticsearch, for whom. Pure.

Over there one credential sees everything. Only the operator may see the platform's own jobs: what other tokens ask is
narrowed here, and what cannot be narrowed is refused by name. They add entries and change none (`appending.py`), and
what they set up is acknowledged and needless, as with our own index: a template or a pipeline over there is everyone's.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import msgspec

from kokiris.logs.api.appending import is_of_the_system
from kokiris.logs.api.call import Call, EsError
from kokiris.logs.api.readers import visible_to
from kokiris.logs.query import tree
from kokiris.logs.query.dsl import Context
from kokiris.logs.query.to_dsl import to_dsl, without_kql

_SEARCH = re.compile(r"(?:/[^/]+)?/_(?:search|count)")
_SEARCHES = re.compile(r"(?:/[^/]+)?/_msearch")
_SHOWS_NO_ENTRY = tuple(
    (frozenset(methods.split()), re.compile(pattern))
    for methods, pattern in (
        ("GET HEAD", "/"),
        ("POST", r"/[^/]+/_doc"),
        ("POST PUT", r"/[^/]+/_create/[^/]+"),
        ("GET POST DELETE", r"/_search/scroll"),  # ids of one's own narrowed searches
        ("GET POST", r"(?:/[^/]+)?/_(?:field_caps|refresh)"),
        ("GET", r"(?:/[^/]+)?/_mappings?"),
        ("GET", r"/_cat/indices(?:/[^/]+)?|/_cluster/health(?:/[^/]+)?|/_license|/_xpack|/_nodes(?:/.*)?"),
        ("GET HEAD", r"/_(?:ilm/policy|index_template|component_template|template|data_stream|ingest/pipeline)/.+"),
        ("GET HEAD", r"(?:/[^/]+)?/_alias(?:es)?(?:/.*)?|/[^/_][^/]*"),
    )
)
_IN_A_SEARCH = frozenset(
    [
        "query",
        "size",
        "from",
        "sort",
        "_source",
        "fields",
        "docvalue_fields",
        "stored_fields",
        "aggs",
        "aggregations",
        "track_total_hits",
        "track_scores",
        "search_after",
        "timeout",
        "highlight",
        "post_filter",
        "min_score",
        "version",
        "terminate_after",
    ]
)
"""What stays within the entries that the query finds."""
_LEAVES_THE_QUERY = frozenset({"global", "significant_terms", "significant_text"})
_READS_OTHERS = frozenset({"more_like_this", "indexed_shape", "percolate", "has_child", "has_parent"})
_BULK = re.compile(r"(?:/[^/]+)?/_bulk")
_OPEN_INDICES = frozenset({"open", "closed", "none"})
_READ_FROM = frozenset({"index", "id", "path"})
"""What a terms lookup names: it reads any entry of any index."""
_OF_Q = ("q", "df", "default_operator")


def is_restricted(call: Call) -> bool:
    """Whether it comes with a token that may not see and change everything."""
    return not isinstance(visible_to(call.principal), tree.All)


def is_bulk(call: Call) -> bool:
    """Whether it writes several entries."""
    return call.method in {"POST", "PUT"} and _BULK.fullmatch(call.path) is not None


def what_to_pass(call: Call, context: Context) -> tuple[str, bytes]:
    """(query string, body), with KQL translated; of a restricted call's `_bulk`, see `appending`. Raises EsError (403)
    for what the token may not ask, QueryError."""
    seen, params = visible_to(call.principal), dict(call.params)
    body = call.body
    if not isinstance(seen, tree.All):
        _check_indices(call)
    if _SEARCH.fullmatch(call.path):
        wanted = without_kql(call.json(), context)
        body = msgspec.json.encode(wanted if isinstance(seen, tree.All) else _narrowed(wanted, params, seen))
    elif _SEARCHES.fullmatch(call.path):
        body = _each(call, context, seen)
    elif not isinstance(seen, tree.All) and not is_bulk(call) and not _shows_no_entry(call):
        raise _closed(f"{call.method} {call.path}")
    return urlencode(params), body


def check_path(call: Call) -> None:
    """Raises EsError (400) for a path that may mean another one over there."""
    if {".", ".."} & set(call.path.split("/")):
        raise EsError(400, "illegal_argument_exception", f"no handler found for uri [{call.path}]")


def _check_indices(call: Call) -> None:
    name = call.path.split("/")[1]
    if is_of_the_system(name):
        raise _closed(f"index [{name}]")
    if "pipeline" in call.params:
        raise _closed("?pipeline=")
    _check_wildcards(call.params.get("expand_wildcards", ""))


def _check_wildcards(expanded: str) -> None:
    if expanded and not set(expanded.split(",")) <= _OPEN_INDICES:
        raise _closed(f'"expand_wildcards": "{expanded[:40]}"')


def _check_head(head: Any) -> None:
    """Of one search of several: where it looks."""
    if not isinstance(head, dict):
        raise EsError(400, "parsing_exception", "a search's first line is a JSON object")
    for value in (head.get("index"), head.get("indices")):
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str) and is_of_the_system(name):
                raise _closed(f"index [{name}]")
    expanded = head.get("expand_wildcards", "")
    _check_wildcards(",".join(map(str, expanded)) if isinstance(expanded, list) else str(expanded))


def _shows_no_entry(call: Call) -> bool:
    return any(call.method in methods and pattern.fullmatch(call.path) for methods, pattern in _SHOWS_NO_ENTRY)


def _each(call: Call, context: Context, seen: tree.Query) -> bytes:
    """`_msearch`: a line that says where, a line that says what."""
    lines = [line for line in call.body.split(b"\n") if line.strip()]
    try:
        decoded = [msgspec.json.decode(line) for line in lines]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EsError(400, "parsing_exception", f"the body is not ndjson: {error}") from None
    if not isinstance(seen, tree.All):
        for head in decoded[::2]:
            _check_head(head)
    for number in range(1, len(decoded), 2):
        wanted = without_kql(decoded[number], context)
        decoded[number] = wanted if isinstance(seen, tree.All) else _narrowed(wanted, {}, seen)
    return b"".join(msgspec.json.encode(one) + b"\n" for one in decoded)


def _narrowed(wanted: Any, params: dict[str, str], seen: tree.Query) -> dict[str, Any]:
    """A search's body that finds only what is `seen`; `?q=` moves from `params` into it."""
    if not isinstance(wanted, dict):
        raise EsError(400, "parsing_exception", "a search is a JSON object")
    if "source" in params:
        raise _closed("?source=")
    for name in wanted:
        if name not in _IN_A_SEARCH:
            raise _closed(f'"{name}" in a search')
    for part, refused in (("aggs", _LEAVES_THE_QUERY), ("aggregations", _LEAVES_THE_QUERY), ("query", _READS_OTHERS)):
        if found := _names_in(wanted.get(part)) & refused:
            raise _closed(f'"{min(found)}" in a search')
    if any(_reads_an_entry(wanted.get(part)) for part in ("query", "post_filter", "aggs", "aggregations")):
        raise _closed("a lookup of another entry in a search")
    query = wanted.get("query", {"match_all": {}})
    if "q" in params:
        q, field, operator = (params.pop(name, "") for name in _OF_Q)
        text = {"query": q, "default_field": field, "default_operator": operator}
        query = {"query_string": {name: value for name, value in text.items() if value}}
    return {**wanted, "query": {"bool": {"must": [query], "filter": [to_dsl(seen)]}}}


def _names_in(part: Any) -> frozenset[str]:
    """Every name at any depth."""
    if isinstance(part, dict):
        return frozenset(part).union(*(_names_in(one) for one in part.values()))
    if isinstance(part, list):
        return frozenset().union(*(_names_in(one) for one in part))
    return frozenset()


def _reads_an_entry(part: Any) -> bool:
    if isinstance(part, dict):
        return part.keys() >= _READ_FROM or any(map(_reads_an_entry, part.values()))
    return isinstance(part, list) and any(map(_reads_an_entry, part))


def _closed(what: str) -> EsError:
    return EsError(
        403,
        "security_exception",
        f"{what} is open to the operator token only while logs.elasticsearch_url is set",
        next_step="Use _search, _msearch or _count.",
    )
