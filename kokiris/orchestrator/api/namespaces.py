"""`/v1/namespaces` and `/v1/namespace…`."""

from __future__ import annotations

import re
from typing import Any

from kokiris.kernel.errors import BadInput, NotFound
from kokiris.orchestrator.api.call import DEFAULT_NAMESPACE, EMPTY, Call
from kokiris.orchestrator.api.listing import page
from kokiris.orchestrator.api.responses import NamespaceWire
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.infra import Namespace

_NAME = re.compile("^[a-zA-Z0-9-]{1,128}$")


def _wire(namespace: Namespace) -> NamespaceWire:
    return NamespaceWire(
        Name=namespace.Name,
        Description=namespace.Description,
        Quota=namespace.Quota,
        Meta=namespace.Meta,
        CreateIndex=namespace.CreateIndex,
        ModifyIndex=namespace.ModifyIndex,
    )


def _all(call: Call) -> dict[str, Namespace]:
    """Stored ones; "default" is there from the start."""
    default = Namespace(Name=DEFAULT_NAMESPACE, Description="Default shared namespace", CreateIndex=1, ModifyIndex=1)
    return {DEFAULT_NAMESPACE: default, **call.state.namespaces}


async def list_namespaces(call: Call) -> list[NamespaceWire]:
    """GET /v1/namespaces."""
    prefix = call.query("prefix")
    await call.block(("namespaces",))
    found = (_wire(one) for one in _all(call).values() if one.Name.startswith(prefix))
    return page(call, found, lambda one: (one.Name,))


async def read_namespace(call: Call) -> NamespaceWire:
    """GET /v1/namespace/:name."""
    name = call.params["name"]
    await call.block(("namespace", name))
    found = _all(call).get(name)
    if found is None:
        raise NotFound("Namespace not found")
    return _wire(found)


async def write_namespace(call: Call) -> Any:
    """POST or PUT /v1/namespace[/:name]."""
    namespace = await call.body(Namespace)
    name = call.params.get("name", "")
    if name and namespace.Name and namespace.Name != name:
        raise BadInput("Namespace name does not match request path")
    namespace.Name = namespace.Name or name
    if not namespace.Name:
        raise BadInput("must specify a namespace name", next_step='Send it as "Name".')
    if not _NAME.fullmatch(namespace.Name):
        raise BadInput(
            f'invalid name "{namespace.Name}". Must match regex {_NAME.pattern}',
            next_step="Use 1 to 128 letters, digits and hyphens.",
        )
    call.refuse_hidden(namespace.Name)
    call.index = await call.context.commands.put_namespace(namespace)
    return EMPTY


async def delete_namespace(call: Call) -> Any:
    """DELETE /v1/namespace/:name; refused while it holds jobs or variables."""
    name = call.params["name"]
    call.refuse_hidden(name)
    if held := [one.Path for one in call.context.variables.metadata(name, "")] if call.context.variables else []:
        raise Refused(
            f'namespace "{name}" has variables: {", ".join(held[:5])}',
            next_step=f"Remove them first: `kokiris var purge -namespace {name} PATH`.",
        )
    call.index = await call.context.commands.delete_namespace(name)
    return EMPTY
