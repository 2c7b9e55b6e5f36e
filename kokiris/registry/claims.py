"""Access tokens: what stands in them and how they are handed over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from kokiris.kernel.units import SECOND_NS
from kokiris.registry.scopes import Scope

TOKEN_LIFE_S = 300
"""Clients expect at least 60."""
LIMITED_LIFE_S = 60
"""Of a token to push while there is a quota: as short as clients believe."""
LIMITED_RENEW_S = 5
"""After how long clients ask for the next one then: a push under way meets the quota. They go by `issued_at`."""
NODE_TOKEN_LIFE_S = 3600
"""A node's token is for one repository and has to last for a slow pull: it cannot be renewed under way."""
LEEWAY_S = 60
"""The registry's clock may be behind ours; its own tolerance is as much."""


class ResourceActions(msgspec.Struct, kw_only=True, frozen=True):
    """An entry of `access`."""

    type: str
    name: str
    actions: list[str]


class Claims(msgspec.Struct, kw_only=True, frozen=True):
    """The JWT's body. `aud` is one string: the registry cannot read a list."""

    iss: str
    sub: str
    aud: str
    exp: int
    nbf: int
    iat: int
    jti: str
    access: list[ResourceActions]


class TokenAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of a successful answer; `scope` only on POST."""

    token: str
    access_token: str
    expires_in: int
    issued_at: str
    refresh_token: str = ""
    scope: str | None = None


def claims_for(
    *, issuer: str, service: str, subject: str, access: Sequence[Scope], token_id: str, now_ns: int, life_s: int
) -> Claims:
    """`subject` "" is anonymous; an empty `access` is a valid token (it is what `docker login` checks)."""
    now_s = now_ns // SECOND_NS
    entries = [ResourceActions(type=one.type, name=one.name, actions=list(one.actions)) for one in access]
    return Claims(
        iss=issuer,
        sub=subject,
        aud=service,
        exp=now_s + life_s,
        nbf=now_s - LEEWAY_S,
        iat=now_s,
        jti=token_id,
        access=entries,
    )


def issued_at(now_ns: int) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(now_ns / SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
