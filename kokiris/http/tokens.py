"""Who is asking: the token of a request, in every place the clients put it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import falcon.asgi

from kokiris.kernel.errors import Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a token belongs to. `accessor_id` is public, the secret is never kept."""

    accessor_id: str
    name: str
    kind: str
    """"management" (the client's), "operator" (ours: namespace "platform" too), "client", or "node" (a node of the
    infra, by its certificate)."""
    policies: tuple[str, ...] = ()

    @property
    def is_management(self) -> bool:
        """Whether it opens the infra's doors: the client's token, and the operator's."""
        return self.kind in {"management", "operator"}

    @property
    def is_operator(self) -> bool:
        """Whether it also sees and changes the platform's own jobs."""
        return self.kind == "operator"


NODE = Principal(accessor_id="", name="node", kind="node")
"""Whoever comes through the mutual-TLS listener: a process of one of the infra's nodes."""


class Authenticator(Protocol):
    """Knows the tokens. Compares in constant time; answers None for an unknown or expired one."""

    def authenticate(self, secret: str) -> Principal | None: ...


def secret_of(req: falcon.asgi.Request) -> str:
    """The secret in `X-Nomad-Token`, `X-Consul-Token`, `Authorization: Bearer` or Consul's `?token=`; "" if none."""
    for header in ("X-Nomad-Token", "X-Consul-Token"):
        value = req.get_header(header)
        if value:
            return value
    scheme, _, rest = (req.get_header("Authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and rest:
        return rest.split(" ")[0]
    return req.get_param("token", default="") or ""


def require(req: falcon.asgi.Request, authenticator: Authenticator) -> Principal:
    """The principal of the request. Raises Unauthenticated (403, "Permission denied") without a valid token."""
    secret = secret_of(req)
    principal = authenticator.authenticate(secret) if secret else None
    if principal is None:
        reason = "ACL token not found" if secret else "Permission denied"
        raise Unauthenticated(reason)
    return principal


def require_management(req: falcon.asgi.Request, authenticator: Authenticator) -> Principal:
    """As `require`, and raises Forbidden for any lesser token."""
    principal = require(req, authenticator)
    if not principal.is_management:
        raise Forbidden("Permission denied")
    return principal
