"""/v1/query…: prepared queries and their name templates, without failover to other datacenters.

The token that clients send along with a definition is not kept: whoever executes a query shows one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from kokiris.discovery.api import shapes
from kokiris.discovery.api.call import EMPTY, Call
from kokiris.discovery.api.health import has_node_meta
from kokiris.discovery.model import PreparedQuery, ServiceInstance
from kokiris.discovery.writer import Change
from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, NotFound
from kokiris.kernel.ids import new_id

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class QueryService(msgspec.Struct, kw_only=True):
    """What a query asks for. A tag with "!" must be absent."""

    Service: str = ""
    OnlyPassing: bool = False
    Tags: list[str] = msgspec.field(default_factory=list)
    Near: str = ""
    NodeMeta: dict[str, str] = msgspec.field(default_factory=dict)
    ServiceMeta: dict[str, str] = msgspec.field(default_factory=dict)
    Failover: dict[str, Any] = msgspec.field(default_factory=dict)
    IgnoreCheckIDs: list[str] | None = None
    Connect: bool = False


class QueryDns(msgspec.Struct, kw_only=True):
    TTL: str = ""


class QueryTemplate(msgspec.Struct, kw_only=True):
    """`name_prefix_match`: answers for every name that starts with the query's; `RegExp` gives `${match(N)}`."""

    Type: str = ""
    RegExp: str = ""
    RemoveEmptyTags: bool = False


class QueryBody(msgspec.Struct, kw_only=True):
    ID: str = ""
    Name: str = ""
    Session: str = ""
    Token: str = ""
    Service: QueryService = msgspec.field(default_factory=QueryService)
    DNS: QueryDns = msgspec.field(default_factory=QueryDns)
    Template: QueryTemplate = msgspec.field(default_factory=QueryTemplate)


async def _stored(call: Call, query_id: str) -> PreparedQuery:
    body = await call.body(QueryBody)
    if not body.Service.Service:
        raise BadInput("Must provide a Service name to query")
    if body.Template.Type not in {"", "name_prefix_match"}:
        raise BadInput(f'Bad Template.Type "{body.Template.Type}"', next_step='Use "name_prefix_match".')
    try:
        re.compile(body.Template.RegExp)
    except re.error as error:
        raise BadInput(f'Bad Template.RegExp "{body.Template.RegExp}": {error}') from error
    definition = msgspec.to_builtins(body)
    del definition["ID"], definition["Token"]
    return PreparedQuery(ID=query_id, Name=body.Name, Definition=definition)


def _wire(query: PreparedQuery) -> dict[str, Any]:
    return {"ID": query.ID, **query.Definition, "CreateIndex": query.CreateIndex, "ModifyIndex": query.ModifyIndex}


async def _put(call: Call, query: PreparedQuery, *, must_exist: bool) -> None:
    def decide() -> Change[None]:
        if must_exist and query.ID not in call.catalog.queries:
            raise NotFound("Query not found")
        if query.Name and any(one.Name == query.Name and one.ID != query.ID for one in call.catalog.queries.values()):
            raise BadInput(f'query name "{query.Name}" is in use')
        change = Change(None)
        change.put(call.context.writer.keys.query(query.ID), query)
        return change

    await call.context.writer.change(decide)


async def create(call: Call) -> Any:
    """POST /v1/query"""
    query = await _stored(call, new_id())
    await _put(call, query, must_exist=False)
    return {"ID": query.ID}


async def listing(call: Call) -> Any:
    """GET /v1/query"""
    await call.block(("queries",))
    return [_wire(one) for _, one in sorted(call.catalog.queries.items())]


async def read(call: Call) -> Any:
    """GET /v1/query/:id"""
    await call.block(("queries",))
    query = call.catalog.queries.get(call.params["id"])
    if query is None:
        raise NotFound("Query not found")
    return [_wire(query)]


async def update(call: Call) -> Any:
    """PUT /v1/query/:id"""
    await _put(call, await _stored(call, call.params["id"]), must_exist=True)
    return EMPTY


async def delete(call: Call) -> Any:
    """DELETE /v1/query/:id"""
    name = call.params["id"]

    def decide() -> Change[None]:
        change = Change(None)
        if name in call.catalog.queries:
            change.deletes.append(call.context.writer.keys.query(name))
        return change

    await call.context.writer.change(decide)
    return EMPTY


def find(queries: Iterable[PreparedQuery], wanted: str) -> tuple[PreparedQuery, QueryBody]:
    """By id, by name, or by the template with the longest fitting name. Raises NotFound."""
    best: tuple[tuple[int, int], PreparedQuery, QueryBody] | None = None
    for query in queries:
        body = wire.convert(query.Definition, QueryBody)
        if wanted == query.ID:
            rank = (3, 0)
        elif body.Template.Type:
            if not wanted.startswith(query.Name):
                continue
            rank = (1, len(query.Name))
        elif query.Name and query.Name == wanted:
            rank = (2, 0)
        else:
            continue
        if best is None or rank > best[0]:
            best = (rank, query, body)
    if best is None:
        raise NotFound("Query not found")
    _, query, body = best
    return query, _rendered(body, query.Name, wanted) if body.Template.Type else body


def _rendered(body: QueryBody, prefix: str, name: str) -> QueryBody:
    """`body` with the template's variables replaced."""
    found = re.search(body.Template.RegExp, name) if body.Template.RegExp else None
    values = {"name.full": name, "name.prefix": prefix, "name.suffix": name[len(prefix) :]}

    def value(match: re.Match[str]) -> str:
        variable = match[1].strip()
        if variable.startswith("match("):
            number = variable[6:].rstrip(")")
            usable = found is not None and number.isdecimal() and int(number) <= len(found.groups())
            return (found[int(number)] or "") if found is not None and usable else ""
        return values.get(variable, "")

    service = msgspec.structs.replace(
        body.Service,
        Service=_VARIABLE.sub(value, body.Service.Service),
        Tags=[tag for tag in (_VARIABLE.sub(value, tag) for tag in body.Service.Tags) if tag],
    )
    return msgspec.structs.replace(body, Service=service)


async def execute(call: Call) -> Any:
    """GET /v1/query/:id-or-name/execute: healthy instances, shuffled."""
    _, body = find(call.catalog.queries.values(), call.params["id"])
    found = [one for one in call.catalog.instances_of(body.Service.Service) if _matches(call, one, body.Service)]
    random.shuffle(found)
    limit = call.unsigned("limit")
    if limit:
        found = found[:limit]
    return {
        "Service": body.Service.Service,
        "Nodes": [shapes.health_entry(call.catalog, one) for one in found],
        "DNS": {"TTL": body.DNS.TTL},
        "Datacenter": call.context.facts.datacenter,
        "Failovers": 0,
    }


def _matches(call: Call, one: ServiceInstance, wanted: QueryService) -> bool:
    status = call.catalog.status_of(one)
    if status == "critical" or (wanted.OnlyPassing and status != "passing"):
        return False
    tags = {tag.lower() for tag in one.Tags}
    for tag in wanted.Tags:
        if (tag.lstrip("!").lower() in tags) == tag.startswith("!"):
            return False
    metas = [f"{name}:{value}" for name, value in wanted.NodeMeta.items()]
    return has_node_meta(call.catalog.node(one.Node), metas) and wanted.ServiceMeta.items() <= one.Meta.items()


async def explain(call: Call) -> Any:
    """GET /v1/query/:id-or-name/explain"""
    query, body = find(call.catalog.queries.values(), call.params["id"])
    return {"Query": {**_wire(query), "Service": body.Service}}
