"""`/v1/vars` and `/v1/var/:path`."""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

from kokiris.http.app import JSON_TYPE
from kokiris.kernel.errors import BadInput, NotFound
from kokiris.orchestrator.api.call import ANSWERED, DEFAULT_NAMESPACE, Call
from kokiris.orchestrator.api.listing import page
from kokiris.variables.model import (
    Variable,
    VariableConflict,
    VariableLock,
    VariableMetadata,
    Variables,
    check_not_reserved,
    check_path,
)

_OPERATIONS = ("lock-acquire", "lock-renew", "lock-release")


class VariableRequest(msgspec.Struct, kw_only=True):
    """Body of a write. The path in it does not count, the URL's does."""

    Namespace: str = ""
    Path: str = ""
    Items: dict[str, str] | None = None
    Lock: VariableLock | None = None


def _variables(call: Call) -> Variables:
    found = call.context.variables
    if found is None:
        raise NotFound("variables are not part of this server")
    return found


async def list_variables(call: Call) -> list[VariableMetadata]:
    """GET /v1/vars: everything but the items."""
    variables = call.context.variables
    if variables is None:
        call.index = 1
        return []
    await call.block(("variables",), of=variables.topics)
    every = variables.metadata(call.namespace, call.query("prefix"))
    found = [one for one in every if not call.hides(one.Namespace)]
    return page(call, found, lambda one: (one.Namespace, one.Path) if call.namespace == "*" else (one.Path,))


async def read_variable(call: Call) -> Variable:
    """GET /v1/var/:path."""
    variables = _variables(call)
    path = check_path(call.params["path"])
    await call.block(("variable", call.namespace, path), of=variables.topics)
    found = variables.get(call.namespace, path)
    if found is None:
        raise NotFound("variable not found", next_step="`kokiris var list` shows what exists.")
    return found


async def write_variable(call: Call) -> Any:
    """PUT /v1/var/:path: put, or what `?lock-acquire`, `?lock-renew`, `?lock-release` say."""
    variables = _variables(call)
    wanted = await call.body(VariableRequest)
    path = check_path(call.params["path"])
    check_not_reserved(path)
    namespace = call.query("namespace") or wanted.Namespace or DEFAULT_NAMESPACE
    call.refuse_hidden(namespace)
    _check_namespace(call, namespace)
    operations = [one for one in _OPERATIONS if call.req.get_param(one) is not None]
    if len(operations) > 1:
        raise BadInput("multiple lock operations", next_step="Give one of lock-acquire, lock-renew and lock-release.")
    variable = Variable(Namespace=namespace, Path=path, Items=wanted.Items or {}, Lock=wanted.Lock or msgspec.UNSET)
    lock_id = wanted.Lock.ID if wanted.Lock else ""
    try:
        answer = await _written(variables, variable, operations[0] if operations else "", _cas(call), lock_id)
    except VariableConflict as conflict:
        return _conflicting(call, conflict)
    call.index = answer.ModifyIndex
    return answer


async def _written(
    variables: Variables, variable: Variable, operation: str, cas: int | None, lock_id: str
) -> VariableMetadata:
    match operation:
        case "lock-acquire":
            return await variables.acquire(variable, cas=cas)
        case "lock-renew":
            return await variables.renew(variable.Namespace, variable.Path, lock_id)
        case "lock-release":
            return await variables.release(variable.Namespace, variable.Path, lock_id)
        case _:
            return await variables.put(variable, cas=cas, lock_id=lock_id)


async def delete_variable(call: Call) -> Any:
    """DELETE /v1/var/:path: 204."""
    path = check_path(call.params["path"])
    check_not_reserved(path)
    try:
        call.index = await _variables(call).delete(call.namespace, path, cas=_cas(call), lock_id=call.query("lock-id"))
    except VariableConflict as conflict:
        return _conflicting(call, conflict)
    call.resp.status = falcon.HTTP_204
    return ANSWERED


def _cas(call: Call) -> int | None:
    raw = call.query("cas")
    if raw and not (raw.isdecimal() and raw.isascii() and len(raw) <= 19):
        raise BadInput(f'can not parse cas: "{raw[:40]}" is not a number')
    return int(raw) if raw else None


def _check_namespace(call: Call, namespace: str) -> None:
    if namespace != DEFAULT_NAMESPACE and namespace not in call.state.namespaces:
        raise BadInput(f'variable is in nonexistent namespace "{namespace}"', next_step="Make the namespace first.")


def _conflicting(call: Call, error: VariableConflict) -> Any:
    """409 with the variable as it stands, not with a text: clients read it."""
    call.resp.status = falcon.HTTP_409
    call.resp.content_type = JSON_TYPE
    call.resp.data = msgspec.json.encode(error.conflict)
    return ANSWERED
