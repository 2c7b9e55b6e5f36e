"""A Falcon ASGI app with our errors, bodies and disconnects."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

import falcon
import falcon.asgi
import msgspec

from kokiris.http.serve import AsgiApp
from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, Internal, KokirisError, TooLarge

log = logging.getLogger(__name__)

T = TypeVar("T")

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"
BODY_LIMIT_BYTES = 4 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
THROWN_AWAY_BYTES = 64 * 1024 * 1024
THROWN_AWAY_FOR_S = 20.0
"""How much of a body that is too large is still taken, and for how long."""


class ClientGone(Exception):
    """The client closed its connection while we were waiting on its behalf."""


ErrorWriter = Callable[[falcon.asgi.Response, KokirisError], None]


def plain_text_error(resp: falcon.asgi.Response, error: KokirisError) -> None:
    """Nomad's and Consul's form: the message as text. A specific next step follows on its own line."""
    resp.status = error.http_status
    resp.content_type = TEXT_TYPE
    specific = error.next_step != type(error).default_next_step
    resp.text = f"{error.message}\n{error.next_step}" if specific else error.message
    resp.set_header("X-Kokiris-Error", error.code)
    resp.set_header("X-Kokiris-Next-Step", error.next_step.encode("ascii", "replace").decode())


def make_app(write_error: ErrorWriter = plain_text_error) -> falcon.asgi.App[Any, Any]:
    """An empty app: add routes and sinks to it, then serve `asgi(app)`."""
    app = falcon.asgi.App()
    app.req_options.strip_url_path_trailing_slash = False
    app.req_options.auto_parse_form_urlencoded = False  # type: ignore[attr-defined,unused-ignore]  # not in every Falcon
    app.req_options.keep_blank_qs_values = True

    async def on_kokiris_error(req: Any, resp: Any, error: Any, params: Any, **_: Any) -> None:
        write_error(resp, error)

    async def on_http_error(req: Any, resp: Any, error: Any, params: Any, **_: Any) -> None:
        resp.status = error.status
        resp.content_type = TEXT_TYPE
        resp.text = {405: "Invalid method", 404: "Invalid URL"}.get(error.status_code, error.title or "error")
        for name, value in dict(error.headers or {}).items():
            resp.set_header(name, value)

    async def on_defect(req: Any, resp: Any, error: Any, params: Any, **_: Any) -> None:
        reference = secrets.token_hex(4)
        log.exception("defect %s on %s %s", reference, req.method, req.path, exc_info=error)
        write_error(
            resp, Internal(f"internal error, reference {reference}", next_step="Report it with this role's log.")
        )

    async def on_gone(req: Any, resp: Any, error: Any, params: Any, **_: Any) -> None:
        resp.status = 499

    app.add_error_handler(Exception, on_defect)
    app.add_error_handler(falcon.HTTPError, on_http_error)
    app.add_error_handler(KokirisError, on_kokiris_error)
    app.add_error_handler(ClientGone, on_gone)
    return app


def asgi(app: falcon.asgi.App[Any, Any]) -> AsgiApp:
    """`app`, with the raw `receive` kept where `while_connected` finds it.

    An answer that is given before the whole body was read (413, 403…) closes its connection: what is left of the body
    would otherwise be in the way of the next request on it.
    """

    async def wrapped(
        scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        scope["kokiris.receive"] = receive
        if scope["type"] != "http" or not _has_body(scope):
            await app(scope, receive, send)  # type: ignore[arg-type,unused-ignore]  # Falcon types ASGI more narrowly
            return
        body_read = False

        async def reading() -> Any:
            nonlocal body_read
            message = await receive()
            body_read = body_read or (message["type"] == "http.request" and not message.get("more_body", False))
            return message

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" and not body_read:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await app(scope, reading, sending)  # type: ignore[arg-type,unused-ignore]  # as above

    return wrapped


def _has_body(scope: MutableMapping[str, Any]) -> bool:
    headers = {name: text for name, text in scope["headers"] if name in {b"content-length", b"transfer-encoding"}}
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


async def while_connected(req: falcon.asgi.Request, work: Coroutine[Any, Any, T]) -> T:
    """Runs `work`, but cancels it and raises ClientGone when the client disconnects first.

    Without this a disconnected long poll stays parked for minutes in every framework (measured: python-stack.md).
    Only for requests whose body has been read, or that have none.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(req))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnect(req: falcon.asgi.Request) -> None:
    receive = req.scope["kokiris.receive"]
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_body(req: falcon.asgi.Request, limit_bytes: int = BODY_LIMIT_BYTES) -> bytes:
    """The whole body. Raises TooLarge over `limit_bytes`, once the rest was taken and thrown away: of an answer that
    comes before the end of its request, HTTP/2 clients behind HAProxy see a cancelled stream instead."""
    if (req.content_length or 0) > limit_bytes:
        await _throw_away(req)
        raise TooLarge(f"request body of {req.content_length} bytes is over the limit of {limit_bytes} bytes")
    body = bytearray()
    while chunk := await req.stream.read(CHUNK_BYTES):
        body += chunk
        if len(body) > limit_bytes:
            await _throw_away(req)
            raise TooLarge(f"request body is over the limit of {limit_bytes} bytes")
    return bytes(body)


async def _throw_away(req: falcon.asgi.Request) -> None:
    """What is left of the body, within bounds: nobody keeps us busy for ever."""
    left_bytes = THROWN_AWAY_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(THROWN_AWAY_FOR_S):
            while left_bytes > 0 and (chunk := await req.stream.read(CHUNK_BYTES)):
                left_bytes -= len(chunk)


async def read_json(req: falcon.asgi.Request, as_type: type[T], limit_bytes: int = BODY_LIMIT_BYTES) -> T:
    """The body as Go would decode it (`kernel.wire`). Raises BadInput, TooLarge."""
    body = await read_body(req, limit_bytes)
    if not body.strip():
        raise BadInput("Request body is empty", next_step="Send a JSON document.")
    return wire.decode(body, as_type)


def send_json(req: falcon.asgi.Request, resp: falcon.asgi.Response, value: Any) -> None:
    """Compact JSON, or indented with a closing newline on `?pretty` (any value but 0)."""
    body = msgspec.json.encode(value)
    if req.get_param("pretty", default="0") != "0":
        body = msgspec.json.format(body, indent=4) + b"\n"
    resp.content_type = JSON_TYPE
    resp.data = body
