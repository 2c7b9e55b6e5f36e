"""`/v1/acl`: the tokens there are. Making more of them is a later part; nothing here ever shows a stored secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kokiris.access.model import TokenRecord
from kokiris.http.tokens import secret_of
from kokiris.kernel.clock import rfc3339
from kokiris.kernel.errors import BadInput, NotFound, NotSupported, Unauthenticated
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.listing import page, uuid_prefix
from kokiris.orchestrator.api.responses import ACLToken


def _wire(record: TokenRecord, secret: str | msgspec.UnsetType) -> ACLToken:
    expires: str | msgspec.UnsetType = rfc3339(record.ExpirationTime) if record.ExpirationTime else msgspec.UNSET
    return ACLToken(
        AccessorID=record.AccessorID,
        SecretID=secret,
        Name=record.Name,
        Type="management" if record.Type == "operator" else record.Type,
        Policies=record.Policies or None,
        CreateTime=rfc3339(record.CreateTime),
        ExpirationTime=expires,
        CreateIndex=record.CreateIndex,
        ModifyIndex=record.ModifyIndex,
    )


def _shown(call: Call) -> Sequence[TokenRecord]:
    """The tokens the caller may know of: the operator's are nobody else's business."""
    principal = call.principal or call.identify()
    every = principal is not None and principal.is_operator
    return [one for one in call.context.tokens.tokens() if every or one.Type != "operator"]


def _record(call: Call, accessor_id: str) -> TokenRecord | None:
    return next((one for one in _shown(call) if one.AccessorID == accessor_id), None)


async def own_token(call: Call) -> ACLToken:
    """GET /v1/acl/token/self: any valid token; the secret is the caller's own, as it came."""
    principal = call.identify()
    if principal is None:
        raise Unauthenticated("ACL token not found")
    record = _record(call, principal.accessor_id) or TokenRecord(
        AccessorID=principal.accessor_id,
        Name=principal.name,
        Type=principal.kind,
        SecretSHA256="",
        Policies=list(principal.policies),
    )
    call.index = max(record.ModifyIndex, 1)
    return _wire(record, secret_of(call.req))


async def list_tokens(call: Call) -> list[ACLToken]:
    """GET /v1/acl/tokens: without secrets."""
    prefix = uuid_prefix(call)
    found = [_wire(one, msgspec.UNSET) for one in _shown(call) if one.AccessorID.startswith(prefix)]
    call.index = max((one.ModifyIndex for one in found), default=1) or 1
    if call.flag("reverse"):
        found.reverse()
    return page(call, found, lambda one: (one.CreateIndex, one.AccessorID))


async def read_token(call: Call) -> ACLToken:
    """GET /v1/acl/token/:accessor: the secret is not known here, so it is empty."""
    record = _record(call, call.params["accessor_id"])
    if record is None:
        raise NotFound("ACL token not found")
    call.index = max(record.ModifyIndex, 1)
    return _wire(record, "")


async def bootstrap(call: Call) -> None:
    """POST or PUT /v1/acl/bootstrap: done when the infra was deployed."""
    first = next(iter(call.context.tokens.tokens()), None)
    index = first.CreateIndex if first else 1
    raise BadInput(
        f"ACL bootstrap already done (reset index: {index})",
        next_step='The token was made when the infra was deployed: run `eval "$(kokiris env)"`.',
    )


async def empty_list(call: Call) -> list[Any]:
    """Lists of what there is none of."""
    call.index = 1
    return []


async def refuse(call: Call) -> None:
    """Every other call below /v1/acl."""
    raise NotSupported(
        f"{call.req.method} {call.req.path}: tokens, policies and roles are not made through this API in this version",
        next_step="Use the infra's management token.",
    )
