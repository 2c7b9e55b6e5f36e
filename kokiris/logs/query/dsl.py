"""Elasticsearch's query DSL (JSON) to the query tree. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kokiris.kernel.errors import BadInput
from kokiris.logs.query import tree
from kokiris.logs.query.comparison import interval
from kokiris.logs.query.kql import parse_kql
from kokiris.logs.query.lucene import parse_lucene
from kokiris.logs.query.patterns import check_regexp
from kokiris.logs.query.tree import MAX_DEPTH, QueryError
from kokiris.logs.times import zone_of


@dataclass(frozen=True, slots=True)
class Context:
    """What parsing needs to know: the time that "now" is, the fields that patterns are held against."""

    now_us: int
    known_fields: Iterable[str] = ()


Body = dict[str, Any]


def parse_dsl(body: object, context: Context) -> tree.Query:
    """The query tree. Raises QueryError; for a query text inside, with the position in it."""
    return _query(body, context, 0)


def _query(body: object, context: Context, depth: int) -> tree.Query:
    if depth > MAX_DEPTH:
        raise QueryError(f"nested more than {MAX_DEPTH} deep")
    if not isinstance(body, dict) or len(body) != 1:
        given = ", ".join(map(str, body)) if isinstance(body, dict) else repr(body)
        raise QueryError(f"expected one query, {{name: …}}, found [{given[:100]}]")
    ((name, inner),) = body.items()
    if name in _COMPOUND:
        return _COMPOUND[name](inner, context, depth)
    parser = _LEAVES.get(name)
    if parser is None:
        raise QueryError(f"unknown query [{name}]")
    return parser(inner, context)


# ---- compound --------------------------------------------------------------------------------------------------------


def _bool(body: object, context: Context, depth: int) -> tree.Query:
    clauses = _object(body, "bool")
    for name in clauses:
        if name not in {
            "must",
            "filter",
            "should",
            "must_not",
            "minimum_should_match",
            "boost",
            "adjust_pure_negative",
            "_name",
        }:
            raise QueryError(f"[bool] query does not support [{name}]")
    read = {name: _many(clauses.get(name), context, depth) for name in ("must", "filter", "should", "must_not")}
    parts: list[tree.Query] = [*read["must"], *read["filter"]]
    shoulds = read["should"]
    if shoulds:
        at_least = _minimum(clauses.get("minimum_should_match"), len(shoulds), default=0 if parts else 1)
        if at_least > 0:
            parts.append(tree.Or(tuple(shoulds), at_least))
    parts += [tree.Not(one) for one in read["must_not"]]
    return parts[0] if len(parts) == 1 else tree.And(tuple(parts))


def _many(body: object, context: Context, depth: int) -> list[tree.Query]:
    if body is None:
        return []
    return [_query(one, context, depth + 1) for one in (body if isinstance(body, list) else [body])]


def _minimum(given: object, count: int, default: int) -> int:
    """ "2", "-1", "75%", "-25%" of `count` clauses. Raises QueryError."""
    if given is None:
        return default
    match = re.fullmatch(r"(-?\d{1,9})(%?)", str(given), re.ASCII)
    if match is None:
        raise QueryError(f"minimum_should_match [{given}] is not understood")
    number = int(match[1])
    if match[2]:
        number = int(count * abs(number) / 100) * (-1 if number < 0 else 1)
    return max(0, count + number if match[1].startswith("-") else number)


def _constant_score(body: object, context: Context, depth: int) -> tree.Query:
    return _query(_object(body, "constant_score").get("filter"), context, depth + 1)


def _function_score(body: object, context: Context, depth: int) -> tree.Query:
    inner = _object(body, "function_score").get("query")
    return tree.All() if inner is None else _query(inner, context, depth + 1)


def _dis_max(body: object, context: Context, depth: int) -> tree.Query:
    return tree.Or(tuple(_many(_object(body, "dis_max").get("queries"), context, depth)))


def _nested(body: object, context: Context, depth: int) -> tree.Query:
    return _query(_object(body, "nested").get("query"), context, depth + 1)


# ---- leaves ----------------------------------------------------------------------------------------------------------


def _match(body: object, context: Context) -> tree.Query:
    field, value, options = _field(body, "match", "query")
    del context
    operator = str(options.get("operator", "or")).lower()
    text = _text(value, field)
    minimum = str(options.get("minimum_should_match", ""))
    return tree.Words(field, text, operator == "and" or minimum == "100%")


def _match_phrase(body: object, context: Context) -> tree.Query:
    field, value, _ = _field(body, "match_phrase", "query")
    del context
    return tree.Phrase(field, _text(value, field))


def _match_phrase_prefix(body: object, context: Context) -> tree.Query:
    field, value, _ = _field(body, "match_phrase_prefix", "query")
    del context
    return tree.Phrase(field, _text(value, field), prefix=True)


def _match_bool_prefix(body: object, context: Context) -> tree.Query:
    field, value, options = _field(body, "match_bool_prefix", "query")
    del context
    words = _text(value, field).split()
    parts: list[tree.Query] = [tree.Words(field, word) for word in words[:-1]]
    parts += [tree.Phrase(field, word, prefix=True) for word in words[-1:]]
    return tree.And(tuple(parts)) if str(options.get("operator", "")).lower() == "and" else tree.Or(tuple(parts))


def _multi_match(body: object, context: Context) -> tree.Query:
    options = _object(body, "multi_match")
    text = _text(options.get("query"), "multi_match")
    del context
    kind, every = str(options.get("type", "best_fields")), str(options.get("operator", "or")).lower() == "and"
    parts: list[tree.Query] = []
    for field in _names(options.get("fields")):
        if kind in {"phrase", "phrase_prefix"}:
            parts.append(tree.Phrase(field, text, prefix=kind == "phrase_prefix"))
        else:
            parts.append(tree.Words(field, text, every))
    return tree.Or(tuple(parts))


def _term(body: object, context: Context) -> tree.Query:
    field, value, _ = _field(body, "term", "value")
    return _equal(field, value, context)


def _equal(field: str, value: object, context: Context) -> tree.Query:
    if field == "@timestamp":
        return interval(field, [(">=", value), ("<=", value)], context.now_us)
    return tree.Term(field, _text(value, field))


def _terms(body: object, context: Context) -> tree.Query:
    given = {name: value for name, value in _object(body, "terms").items() if name not in {"boost", "_name"}}
    if len(given) != 1:
        raise QueryError("[terms] query expects one field")
    ((field, values),) = given.items()
    if not isinstance(values, list):
        raise QueryError(f"[terms] query expects a list of values for [{field}]")
    if len(values) > 65_536:
        raise QueryError(f"[terms] query has {len(values)} values; at most 65536 are allowed")
    if field == "@timestamp":
        return tree.Or(tuple(_equal(field, value, context) for value in values))
    return tree.AnyOf(field, tuple(_text(value, field) for value in values))


_BOUNDS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _range(body: object, context: Context) -> tree.Query:
    field, options = _single(body, "range")
    settings = _object(options, "range")
    bounds: list[tuple[str, object]] = []
    for name, value in settings.items():
        if name in _BOUNDS:
            bounds += [(_BOUNDS[name], value)] if value is not None else []
        elif name in {"from", "to"}:
            inclusive = bool(settings.get("include_lower" if name == "from" else "include_upper", True))
            sign = (">" if name == "from" else "<") + ("=" if inclusive else "")
            bounds += [(sign, value)] if value is not None else []
        elif name not in {"format", "time_zone", "boost", "relation", "include_lower", "include_upper", "_name"}:
            raise QueryError(f"[range] query does not support [{name}]")
    if not bounds:
        return tree.Exists(field)
    try:
        zone = zone_of(str(settings.get("time_zone", "UTC")))
    except BadInput as error:
        raise QueryError(error.message) from None
    return interval(field, bounds, context.now_us, form=str(settings.get("format", "")), zone=zone)


def _exists(body: object, context: Context) -> tree.Query:
    del context
    field = _object(body, "exists").get("field")
    if not isinstance(field, str) or not field:
        raise QueryError("[exists] query expects a [field]")
    return tree.Exists(field)


def _prefix(body: object, context: Context) -> tree.Query:
    field, value, _ = _field(body, "prefix", "value")
    del context
    return tree.Wildcard(field, re.sub(r"([\\*?])", r"\\\1", _text(value, field)) + "*")


def _wildcard(body: object, context: Context) -> tree.Query:
    field, value, options = _field(body, "wildcard", "value")
    del context
    return tree.Wildcard(field, _text(options.get("wildcard", value), field))


def _regexp(body: object, context: Context) -> tree.Query:
    field, value, _ = _field(body, "regexp", "value")
    del context
    return tree.Regexp(field, check_regexp(_text(value, field)))


def _query_string(body: object, context: Context) -> tree.Query:
    return _string(body, context, "query_string", lenient=False)


def _simple_query_string(body: object, context: Context) -> tree.Query:
    return _string(body, context, "simple_query_string", lenient=True)


def _string(body: object, context: Context, name: str, *, lenient: bool) -> tree.Query:
    options = _object(body, name)
    text = _text(options.get("query"), name)
    every = str(options.get("default_operator", "or")).lower() == "and"
    fields = _names(options.get("fields") or options.get("default_field"))
    parsed = [
        parse_lucene(
            text,
            now_us=context.now_us,
            default_field=field,
            every=every,
            lenient=lenient or bool(options.get("lenient")),
        )
        for field in fields
    ]
    return parsed[0] if len(parsed) == 1 else tree.Or(tuple(parsed))


def _kql(body: object, context: Context) -> tree.Query:
    text = _text(_object(body, "kql").get("query"), "kql")
    return parse_kql(text, now_us=context.now_us, known_fields=context.known_fields)


def _ids(body: object, context: Context) -> tree.Query:
    del context
    values = _object(body, "ids").get("values", [])
    if not isinstance(values, (list, str)):
        raise QueryError("[ids] query expects a list of [values]")
    return tree.Ids(tuple(map(str, [values] if isinstance(values, str) else values)))


# ---- shapes ----------------------------------------------------------------------------------------------------------


def _object(body: object, name: str) -> Body:
    if not isinstance(body, dict):
        raise QueryError(f"[{name}] expects an object, found [{str(body)[:100]}]")
    return body


def _single(body: object, name: str) -> tuple[str, object]:
    given = {key: value for key, value in _object(body, name).items() if key not in {"boost", "_name"}}
    if len(given) != 1:
        raise QueryError(f"[{name}] query expects one field, found {len(given)}")
    ((field, value),) = given.items()
    return str(field), value


def _field(body: object, name: str, key: str) -> tuple[str, object, Body]:
    """(field, value, options) of the short form `{field: value}` and the long one `{field: {key: value, …}}`."""
    field, value = _single(body, name)
    if not isinstance(value, dict):
        return field, value, {}
    if key not in value and not (name == "wildcard" and "wildcard" in value):
        raise QueryError(f"[{name}] query on [{field}] expects a [{key}]")
    return field, value.get(key), value


def _text(value: object, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise QueryError(f"expected a text or a number for [{where}], found [{str(value)[:100]}]")


def _names(given: object) -> list[str]:
    """Field names without boosts; none: every text."""
    if given is None or given == []:
        return [""]
    names = [str(one).split("^")[0] for one in (given if isinstance(given, list) else [given])]
    return ["" if name in {"*", "_all"} or "*" in name else name for name in names]


_COMPOUND: dict[str, Callable[[object, Context, int], tree.Query]] = {
    "bool": _bool,
    "constant_score": _constant_score,
    "function_score": _function_score,
    "dis_max": _dis_max,
    "nested": _nested,
}
_LEAVES: dict[str, Callable[[object, Context], tree.Query]] = {
    "match_all": lambda body, context: tree.All(),
    "match_none": lambda body, context: tree.Nothing(),
    "match": _match,
    "match_phrase": _match_phrase,
    "match_phrase_prefix": _match_phrase_prefix,
    "match_bool_prefix": _match_bool_prefix,
    "multi_match": _multi_match,
    "term": _term,
    "terms": _terms,
    "range": _range,
    "exists": _exists,
    "prefix": _prefix,
    "wildcard": _wildcard,
    "regexp": _regexp,
    "query_string": _query_string,
    "simple_query_string": _simple_query_string,
    "kql": _kql,
    "ids": _ids,
}
