"""/v1/acl/…: who the caller is. Tokens are made and withdrawn by kokiris, not here."""

from __future__ import annotations

from typing import Any

from kokiris.discovery.api.call import Call
from kokiris.kernel.errors import Forbidden, NotFound

MANAGEMENT_POLICY = {
    "ID": "00000000-0000-0000-0000-000000000001",
    "Name": "global-management",
    "Description": "Builtin Policy that grants unlimited access",
    "Hash": "",
    "CreateIndex": 1,
    "ModifyIndex": 1,
}


def _own(call: Call) -> dict[str, Any]:
    principal = call.principal
    policies = [{"ID": MANAGEMENT_POLICY["ID"], "Name": MANAGEMENT_POLICY["Name"]}] if principal.is_management else []
    return {
        "AccessorID": principal.accessor_id,
        "Description": principal.name,
        "Policies": policies,
        "Local": False,
        "CreateTime": "0001-01-01T00:00:00Z",
        "CreateIndex": 1,
        "ModifyIndex": 1,
    }


async def token_self(call: Call) -> Any:
    """GET /v1/acl/token/self: without the secret, which is shown nowhere."""
    return _own(call)


async def tokens(call: Call) -> Any:
    """GET /v1/acl/tokens: the caller's own."""
    return [_own(call)]


async def policies(call: Call) -> Any:
    """GET /v1/acl/policies"""
    return [MANAGEMENT_POLICY]


async def policy(call: Call) -> Any:
    """GET /v1/acl/policy/:id, /v1/acl/policy/name/:id"""
    if call.params["id"] not in {MANAGEMENT_POLICY["ID"], MANAGEMENT_POLICY["Name"]}:
        raise NotFound(f"Requested policy does not exist: ACL not found: {call.params['id']}")
    return {**MANAGEMENT_POLICY, "Rules": ""}


async def nothing(call: Call) -> Any:
    """Roles, auth methods, binding rules: there are none."""
    return []


async def unknown(call: Call) -> Any:
    """One of those by name."""
    raise NotFound("ACL not found")


async def refused(call: Call) -> Any:
    """Every write."""
    raise Forbidden(
        "Permission denied: tokens of this infra are not made through this API",
        next_step="Use the token that `kokiris up` has shown; `kokiris env` prints how.",
    )
