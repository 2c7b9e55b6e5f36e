"""One request: who asks, what it asks with, what is answered. Consul's transport conventions live here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import falcon
import falcon.asgi
import msgspec

from kokiris.discovery.api.context import ApiContext
from kokiris.discovery.catalog import Catalog
from kokiris.http.app import JSON_TYPE, TEXT_TYPE, read_body
from kokiris.http.blocking import block
from kokiris.http.filter import compile_filter
from kokiris.http.tokens import NODE, Principal, secret_of
from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, Forbidden, KokirisError, NotFound, Unauthenticated
from kokiris.kernel.topics import Topic

T = TypeVar("T")
Handler = Callable[["Call"], Awaitable[Any]]

_ENCODE = msgspec.json.Encoder().encode
_FALSE_WORDS = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class Refused(KokirisError):
    """Well formed, and it cannot be done: Consul answers 500 where others answer 400."""

    code = "refused"
    http_status = 500
    default_next_step = "Correct what is named above and try again."


class _Marker:
    """A value no JSON document is mistaken for."""


EMPTY = _Marker()
"""Returned by a handler: 200 with an empty body."""
ANSWERED = _Marker()
"""Returned by a handler that filled in the response itself."""


class Call:
    """What a handler gets."""

    __slots__ = ("catalog", "context", "index", "params", "principal", "req", "resp")

    def __init__(
        self, context: ApiContext, req: falcon.asgi.Request, resp: falcon.asgi.Response, params: dict[str, str]
    ) -> None:
        self.context = context
        self.catalog: Catalog = context.catalog
        self.req = req
        self.resp = resp
        self.params = params
        self.principal: Principal = NODE
        self.index = 0
        """What `X-Consul-Index` says; 0: no such header."""

    # ---- who and what ------------------------------------------------------------------------------------------

    def authorize(self, permission: str) -> None:
        """Raises the 403s Consul's clients know. `permission` is that asked for, as "key:write"."""
        writes = permission.endswith(":write")
        if self.context.authenticator is None:
            if writes:
                raise Forbidden(f"Permission denied: nodes may only read, this needs '{permission}'")
            return
        secret = secret_of(self.req)
        if not secret:
            raise Unauthenticated(
                f"Permission denied: anonymous token lacks permission '{permission}'. "
                "The anonymous token is used implicitly when a request does not specify a token."
            )
        principal = self.context.authenticator.authenticate(secret)
        if principal is None:
            raise Unauthenticated("ACL not found")
        if writes and not principal.is_management:
            raise Forbidden(
                f"Permission denied: token with AccessorID '{principal.accessor_id}' lacks permission '{permission}'"
            )
        self.principal = principal

    def check_query(self) -> None:
        """Raises for the parameters every endpoint has: `dc`, and consistency modes that exclude each other."""
        if not self.req.query_string:
            return
        datacenter = self.query("dc")
        if datacenter and datacenter != self.context.facts.datacenter:
            raise Refused(
                "No path to datacenter", next_step=f'Leave "dc" out, or say "{self.context.facts.datacenter}".'
            )
        if self.flag("stale") and self.flag("consistent"):
            raise BadInput("Cannot specify ?stale with ?consistent, conflicting semantics.")

    def query(self, name: str, default: str = "") -> str:
        """A query parameter; `default` when absent or empty."""
        return self.req.get_param(name, default="") or default

    def has(self, name: str) -> bool:
        """Whether the parameter is there at all, as Consul reads most of its flags (`?recurse`)."""
        return self.req.get_param(name) is not None

    def flag(self, name: str) -> bool:
        """Whether the parameter is there and not false: `?passing`, `?passing=1`."""
        raw = self.req.get_param(name)
        return raw is not None and raw not in _FALSE_WORDS

    def all_of(self, name: str) -> list[str]:
        """Every value of a parameter that may be repeated."""
        return list(self.req.get_param_as_list(name) or ())

    def unsigned(self, name: str) -> int | None:
        """A number below 2^64; None when absent. Raises BadInput."""
        raw = self.query(name)
        if not raw:
            return None
        if not raw.isdecimal() or not raw.isascii() or int(raw) >= 1 << 64:
            raise BadInput(f'Invalid {name}: "{raw}" is not a number')
        return int(raw)

    async def body(self, as_type: type[T], *, optional: bool = False) -> T:
        """The body, decoded as Go would. Raises BadInput, TooLarge."""
        data = await read_body(self.req)
        if not data.strip():
            if not optional:
                raise BadInput("Request decode failed: EOF", next_step="Send a JSON document.")
            data = b"{}"
        return wire.decode(data, as_type)

    # ---- answering ---------------------------------------------------------------------------------------------

    async def block(self, *topics: Topic) -> None:
        """Parks a blocking query until one of `topics` changes; sets the index to answer with."""
        self.index = await block(self.req, self.catalog.topics, topics)

    def filtered(self, items: Iterable[T]) -> list[T]:
        """The `items` that `?filter` selects, all without it. Raises BadInput for a malformed expression."""
        expression = self.query("filter")
        if not expression:
            return list(items)
        return list(filter(compile_filter(expression), items))

    def shared_body(self, name: tuple[str, ...], build: Callable[[], Any]) -> bytes:
        """What `build` makes, encoded once for everybody who asks at the same index. `block` comes first."""
        known = self.context.bodies.get(name)
        if known is not None and known[0] == self.index:
            return known[1]
        body = _ENCODE(build())
        if len(self.context.bodies) > 10_000:
            self.context.bodies.clear()
        self.context.bodies[name] = (self.index, body)
        return body

    async def answer(self, result: Any) -> None:
        """Sends what a handler returned; bytes are JSON already."""
        self._set_meta()
        if result is ANSWERED:
            return
        if result is EMPTY:
            self.resp.data = b""
            return
        body = result if isinstance(result, bytes) else _ENCODE(result)
        if self.req.query_string and self.flag("pretty"):
            body = msgspec.json.format(body, indent=4) + b"\n"
        self.resp.content_type = JSON_TYPE
        self.resp.data = body

    def _set_meta(self) -> None:
        resp = self.resp
        resp.set_header("Vary", "Accept-Encoding")
        resp.set_header("X-Consul-Default-ACL-Policy", "deny")
        if self.index:
            resp.set_header("X-Consul-Index", str(self.index))
            resp.set_header("X-Consul-KnownLeader", "true")
            resp.set_header("X-Consul-LastContact", "0")
            consistency = "consistent" if self.req.query_string and self.flag("consistent") else "leader"
            resp.set_header("X-Consul-Effective-Consistency", consistency)


class Endpoint:
    """A Falcon resource made of handlers by method. Reads need the permission "<resource>:read", all else its
    ":write"; with `resource` "" nobody is asked for a token."""

    def __init__(self, context: ApiContext, resource: str, **handlers: Handler) -> None:
        for method, handler in handlers.items():
            access = "read" if method == "get" else "write"
            permission = f"{resource}:{access}" if resource else ""
            setattr(self, f"on_{method}", _responder(context, handler, permission))


def _responder(context: ApiContext, handler: Handler, permission: str) -> Callable[..., Awaitable[None]]:
    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
        await respond_to(Call(context, req, resp, params), handler, permission)

    return respond


async def respond_to(call: Call, handler: Handler, permission: str) -> None:
    """One call from its token, unless `permission` is "", to its answer. A missing object still carries its index, so
    that it can be waited for."""
    if permission:
        call.authorize(permission)
    call.check_query()
    try:
        result = await handler(call)
    except NotFound as error:
        if not call.index:
            raise
        call.resp.status = falcon.HTTP_404
        call.resp.content_type = TEXT_TYPE
        call.resp.text = error.message
        result = ANSWERED
    await call.answer(result)
