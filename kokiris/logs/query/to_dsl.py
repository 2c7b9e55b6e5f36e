"""From the query tree to Elasticsearch's query DSL, for when a real Elasticsearch holds the entries. Pure."""

from __future__ import annotations

from typing import Any

from kokiris.logs.model import TIME
from kokiris.logs.query import tree
from kokiris.logs.query.dsl import Context
from kokiris.logs.query.kql import parse_kql
from kokiris.logs.times import iso


def to_dsl(query: tree.Query) -> dict[str, Any]:  # noqa: PLR0911 - one return per kind
    """Made for fields that are mapped as text or as keyword alike: whole values are asked for as phrases."""
    match query:
        case tree.All():
            return {"match_all": {}}
        case tree.Nothing():
            return {"match_none": {}}
        case tree.And(parts=parts):
            nots = [to_dsl(part.part) for part in parts if isinstance(part, tree.Not)]
            return {
                "bool": {"filter": [to_dsl(one) for one in parts if not isinstance(one, tree.Not)], "must_not": nots}
            }
        case tree.Or(parts=parts, at_least=at_least):
            shoulds = [to_dsl(one) for one in parts]
            return {"bool": {"should": shoulds, "minimum_should_match": at_least}} if parts else {"match_none": {}}
        case tree.Not(part=part):
            return {"bool": {"must_not": [to_dsl(part)]}}
        case tree.AnyOf(field=field, values=values):
            return to_dsl(tree.Or(tuple(tree.Term(field, one) for one in values)))
        case tree.Ids(values=values):
            return {"ids": {"values": list(values)}}
        case tree.TimeRange(low_us=low, high_us=high):
            return _range(
                TIME, [("gte", None if low is None else iso(low)), ("lte", None if high is None else iso(high))]
            )
        case tree.Range(field=field, low=low_number, high=high_number, with_low=with_low, with_high=with_high):
            return _range(
                field, [("gte" if with_low else "gt", low_number), ("lte" if with_high else "lt", high_number)]
            )
        case tree.Exists(field=field):
            return {"exists": {"field": field}}
        case _:
            return _of_text(query)


def _range(field: str, bounds: list[tuple[str, Any]]) -> dict[str, Any]:
    return {"range": {field: {name: value for name, value in bounds if value is not None}}}


def _of_text(query: tree.Query) -> dict[str, Any]:  # noqa: PLR0911 - one return per kind
    match query:
        case tree.Term(field=field, value=text):
            return _phrase(field, text, "phrase")
        case tree.Phrase(field=field, text=text, prefix=prefix):
            return _phrase(field, text, "phrase_prefix" if prefix else "phrase")
        case tree.Words(field=field, text=text, every=every):
            operator = "and" if every else "or"
            if field:
                return {"match": {field: {"query": text, "operator": operator}}}
            return {"multi_match": {"query": text, "type": "cross_fields", "operator": operator, "lenient": True}}
        case tree.Wildcard(field=field, pattern=pattern):
            if field:
                return {"wildcard": {field: {"value": pattern}}}
            return {"query_string": {"query": pattern.replace("/", "\\/").replace(":", "\\:"), "lenient": True}}
        case tree.Regexp(field=field, pattern=pattern):
            return {"regexp": {field: {"value": pattern}}} if field else {"query_string": {"query": f"/{pattern}/"}}
    raise AssertionError(f"{type(query).__name__} has no query DSL")


def _phrase(field: str, text: str, kind: str) -> dict[str, Any]:
    if field:
        return {f"match_{kind}": {field: text}}
    return {"multi_match": {"query": text, "type": kind, "lenient": True}}


def without_kql(body: Any, context: Context) -> Any:
    """A search's body with each `{"kql": …}` in queries that Elasticsearch of any version knows. Raises QueryError."""
    if isinstance(body, list):
        return [without_kql(one, context) for one in body]
    if not isinstance(body, dict):
        return body
    if set(body) == {"kql"} and isinstance(body["kql"], dict) and isinstance(body["kql"].get("query"), str):
        return to_dsl(parse_kql(body["kql"]["query"], now_us=context.now_us, known_fields=context.known_fields))
    return {name: without_kql(one, context) for name, one in body.items()}
