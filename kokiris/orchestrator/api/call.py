"""One request: who asks, what it asks with, what is answered. Nomad's transport conventions live here."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import falcon
import falcon.asgi
import msgspec

from kokiris.http.app import JSON_TYPE, read_body
from kokiris.http.blocking import block
from kokiris.http.tokens import Principal, secret_of
from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, Forbidden, Unauthenticated
from kokiris.kernel.names import PLATFORM
from kokiris.kernel.topics import Topic, Topics
from kokiris.orchestrator.api.context import ApiContext
from kokiris.orchestrator.api.tenancy import Reads, TenantView
from kokiris.orchestrator.core.refusal import Refused

T = TypeVar("T")
Handler = Callable[["Call"], Awaitable[Any]]

DEFAULT_NAMESPACE = "default"
NO_NAMESPACE = f"{PLATFORM}\0"
"""Asked for in place of a hidden one: no namespace is called so, so that it is answered as any that does not exist."""
READING_POSTS = frozenset({"/v1/search", "/v1/search/fuzzy", "/v1/jobs/statuses", "/v1/jobs/parse"})
"""Paths whose POST changes nothing."""
GZIP_FROM_BYTES = 2048
OFF_LOOP_FROM_BYTES = 128 * 1024
"""Bodies of this size are compressed in a thread: milliseconds that would hold up everyone else."""

_ENCODE = msgspec.json.Encoder().encode
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class _Marker:
    """A value no JSON document is mistaken for."""


EMPTY = _Marker()
"""Returned by a handler: 200 with an empty body."""
ANSWERED = _Marker()
"""Returned by a handler that filled in the response itself."""


def parse_bool(text: str) -> bool | None:
    """Go's `strconv.ParseBool`; None when it is none of its words."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


class Call:
    """What a handler gets."""

    __slots__ = ("context", "index", "params", "principal", "req", "resp", "state")

    def __init__(
        self, context: ApiContext, req: falcon.asgi.Request, resp: falcon.asgi.Response, params: dict[str, str]
    ) -> None:
        self.context = context
        self.req = req
        self.resp = resp
        self.params = params
        self.state: Reads = TenantView(context.commands.state)
        """What the caller may see of the state."""
        self.principal: Principal | None = None
        self.index = 0
        """What `X-Nomad-Index` says; 0: no such header."""

    # ---- who and what ------------------------------------------------------------------------------------------

    def authorize(self) -> None:
        """Raises Unauthenticated (403, "Permission denied") unless a management token came along, and for a write into
        a namespace that is not the caller's."""
        self.admit(self.identify())
        if self.req.method != "GET" and self.req.path not in READING_POSTS:
            self.refuse_hidden(self.query("namespace"))

    def admit(self, principal: Principal | None) -> None:
        """From now on the call is `principal`'s. Raises Unauthenticated unless it is a management token's."""
        if principal is None or not principal.is_management:
            raise Unauthenticated("Permission denied")
        self.principal = principal
        if principal.is_operator:
            self.state = self.context.commands.state

    def identify(self) -> Principal | None:
        """Whose token came along; None without a valid one."""
        secret = secret_of(self.req)
        return self.context.authenticator.authenticate(secret) if secret else None

    def check_query(self) -> None:
        """Raises for the parameters every endpoint has: `stale` and `region`."""
        if not self.req.query_string:
            return
        stale = self.req.get_param("stale", default="")
        if stale and parse_bool(stale) is None:
            raise BadInput("Expect `true` or `false` for `stale` query string parameter")
        if self.query("region", self.context.identity.region) != self.context.identity.region:
            raise Refused(
                "No path to region", next_step=f'Leave "region" out, or say "{self.context.identity.region}".'
            )

    def query(self, name: str, default: str = "") -> str:
        """A query parameter; `default` when absent or empty."""
        return self.req.get_param(name, default="") or default

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean query parameter. Raises BadInput for what Go's ParseBool does not know; `?name` alone is true."""
        raw = self.req.get_param(name)
        if raw is None:
            return default
        value = True if raw == "" else parse_bool(raw)
        if value is None:
            raise BadInput(f'Failed to parse value of "{name}" ("{raw}") as a bool')
        return value

    def integer(self, name: str) -> int | None:
        """An unsigned query parameter; None when absent. Raises BadInput for anything else."""
        raw = self.query(name)
        if not raw:
            return None
        if not raw.isdecimal() or not raw.isascii() or len(raw) > 19:
            raise BadInput(f'Failed to parse value of "{name}" ("{raw}") as a number')
        return int(raw)

    @property
    def namespace(self) -> str:
        """The namespace asked for, "*" for all; one that the caller does not see is replaced by one that cannot be."""
        asked = self.query("namespace", DEFAULT_NAMESPACE)
        return NO_NAMESPACE if self.hides(asked) else asked

    def sees(self, namespace: str) -> bool:
        """Whether a list answers objects of `namespace`: the one asked for, or any with `*` that the caller may see."""
        asked = self.namespace
        return asked == namespace or (asked == "*" and not self.hides(namespace))

    def hides(self, namespace: str) -> bool:
        """Whether `namespace` does not exist for the caller."""
        return namespace == PLATFORM and (self.principal is None or not self.principal.is_operator)

    def refuse_hidden(self, namespace: str) -> None:
        """Raises Forbidden for a write into a namespace that does not exist for the caller."""
        if self.hides(namespace):
            raise Forbidden(
                "Permission denied",
                next_step=f'Namespace "{PLATFORM}" holds the infra\'s own add-ons; use a namespace of your own.',
            )

    async def body(self, as_type: type[T]) -> T:
        """The body, decoded as Go would. Raises BadInput ("Request body is empty"), TooLarge."""
        data = await read_body(self.req)
        if not data.strip():
            raise BadInput("Request body is empty", next_step="Send a JSON document.")
        return wire.decode(data, as_type)

    async def optional_body(self, as_type: type[T]) -> T:
        """As `body`; an empty one is an object without fields."""
        data = await read_body(self.req)
        return wire.decode(data if data.strip() else b"{}", as_type)

    # ---- answering ---------------------------------------------------------------------------------------------

    async def block(self, *topics: Topic, of: Topics | None = None) -> None:
        """Parks a blocking query until one of `topics` changes; sets the index to answer with."""
        self.index = await block(self.req, of or self.state.topics, topics)

    async def answer(self, result: Any) -> None:
        """Sends what a handler returned; bytes are JSON already."""
        resp = self.resp
        self.set_meta()
        if result is ANSWERED:
            return
        if result is EMPTY:
            resp.data = b""
            return
        body = result if isinstance(result, bytes) else _ENCODE(result)
        if self.req.query_string and self.req.get_param("pretty", default="0") != "0":
            body = msgspec.json.format(body, indent=4) + b"\n"
        resp.content_type = JSON_TYPE
        if len(body) > GZIP_FROM_BYTES and "gzip" in (self.req.get_header("Accept-Encoding") or ""):
            body = await asyncio.to_thread(_gzip, body) if len(body) > OFF_LOOP_FROM_BYTES else _gzip(body)
            resp.set_header("Content-Encoding", "gzip")
            resp.set_header("Vary", "Accept-Encoding")
        resp.data = body

    def set_meta(self) -> None:
        """The headers of a read: index, and that this server knows its leader and is not behind."""
        if self.index:
            self.resp.set_header("X-Nomad-Index", str(self.index))
            if self.req.method == "GET":
                self.resp.set_header("X-Nomad-KnownLeader", "true")
                self.resp.set_header("X-Nomad-LastContact", "0")


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


class Endpoint:
    """A Falcon resource made of handlers: `write` answers POST and PUT alike, `put` PUT only.

    Every call needs the management token unless `public`.
    """

    def __init__(
        self,
        context: ApiContext,
        *,
        get: Handler | None = None,
        write: Handler | None = None,
        put: Handler | None = None,
        delete: Handler | None = None,
        public: bool = False,
    ) -> None:
        for method, handler in (("get", get), ("put", write or put), ("post", write), ("delete", delete)):
            if handler is not None:
                setattr(self, f"on_{method}", _responder(context, handler, public))


def _responder(context: ApiContext, handler: Handler, public: bool) -> Callable[..., Awaitable[None]]:
    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
        call = Call(context, req, resp, params)
        if not public:
            call.authorize()
        call.check_query()
        await call.answer(await handler(call))

    return respond


def invalid_method(*allowed: str) -> falcon.HTTPMethodNotAllowed:
    """405 "Invalid method", for endpoints that are told apart after routing."""
    return falcon.HTTPMethodNotAllowed(allowed)
