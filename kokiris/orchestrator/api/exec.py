"""Websocket `/v1/client/allocation/:alloc/exec`: frames relayed both ways between the client and the worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import aiohttp
import falcon
import falcon.asgi
import msgspec
from falcon.asgi import WebSocket

from kokiris.http.tokens import secret_of
from kokiris.kernel.errors import BadInput, KokirisError
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.client import _query, _silent, node_of_alloc
from kokiris.orchestrator.api.context import ApiContext

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S = 10.0
SERVER_FAULT, OTHERS_FAULT = 1011, 1008
"""Close codes: errors of 500 and above, and all others."""
REASON_LIMIT_BYTES = 120
"""A close frame holds 123 bytes of reason."""


class _Handshake(msgspec.Struct):
    """The first frame of a browser, which cannot set headers."""

    version: int
    auth_token: str


class ExecEndpoint:
    """A Falcon resource with a websocket only. A GET without an upgrade is refused as any missing method."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    async def on_websocket(self, req: falcon.asgi.Request, ws: WebSocket, alloc_id: str) -> None:
        """Accepts first, so that refusals reach the client as close frames, which is where it looks for them."""
        await ws.accept()
        try:
            await self._run(req, ws, alloc_id)
        except falcon.WebSocketDisconnected:
            return
        except KokirisError as error:
            await _close(ws, SERVER_FAULT if error.http_status >= 500 else OTHERS_FAULT, error.message)
        except Exception:
            log.exception("defect on websocket %s", req.path)
            await _close(ws, SERVER_FAULT, "internal error")

    async def _run(self, req: falcon.asgi.Request, ws: WebSocket, alloc_id: str) -> None:
        call = Call(self._context, req, None, {"alloc_id": alloc_id})  # type: ignore[arg-type]  # nothing is answered through it
        await self._authorize(call, ws)
        node = node_of_alloc(call)
        if not call.query("task"):
            raise BadInput("must provide task name")
        _check_command(call.query("command"))
        call.flag("tty")
        path = f"/v1/client/allocation/{call.params['alloc_id']}/exec"
        try:
            async with self._context.dialer.websocket(node, path, _query(call)) as worker:
                await _relay(ws, worker)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _silent(node) from error

    async def _authorize(self, call: Call, ws: WebSocket) -> None:
        secret = secret_of(call.req)
        if call.flag("ws_handshake"):
            secret = (await _handshake(ws)).auth_token
        principal = self._context.authenticator.authenticate(secret) if secret else None
        call.admit(principal)


async def _handshake(ws: WebSocket) -> _Handshake:
    try:
        first = await asyncio.wait_for(ws.receive_text(), HANDSHAKE_TIMEOUT_S)
        found = msgspec.json.decode(first, type=_Handshake)
    except (TimeoutError, falcon.PayloadTypeError, msgspec.DecodeError) as error:
        raise BadInput("failed to read the websocket handshake") from error
    if found.version != 1:
        raise BadInput("failed to perform websocket handshake: version must be 1")
    return found


def _check_command(command: str) -> None:
    try:
        words = json.loads(command) if command else None
    except ValueError as error:
        raise BadInput("failed to decode command: it must be a JSON array of strings") from error
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise BadInput("command is not present: it must be a JSON array of strings")


async def _relay(ws: WebSocket, worker: aiohttp.ClientWebSocketResponse) -> None:
    """Until either side closes. The worker's close code and reason reach the client."""
    inbound = asyncio.ensure_future(_to_worker(ws, worker))
    outbound = asyncio.ensure_future(_to_client(ws, worker))
    try:
        await asyncio.wait({inbound, outbound}, return_when=asyncio.FIRST_COMPLETED)
        if outbound.done():
            await _close(ws, *outbound.result())
    finally:
        for task in (inbound, outbound):
            task.cancel()
        await asyncio.gather(inbound, outbound, return_exceptions=True)


async def _to_worker(ws: WebSocket, worker: aiohttp.ClientWebSocketResponse) -> None:
    with contextlib.suppress(falcon.WebSocketDisconnected, falcon.PayloadTypeError, ConnectionError):
        while True:
            await worker.send_str(await ws.receive_text())


async def _to_client(ws: WebSocket, worker: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
    """Returns the close code and reason to end with."""
    while True:
        message = await worker.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            await ws.send_text(message.data)
        elif message.type is aiohttp.WSMsgType.CLOSE:
            if message.data in {None, 1000, 1005}:
                return 1000, ""
            code = message.data if message.data in {OTHERS_FAULT, SERVER_FAULT} else SERVER_FAULT
            return code, message.extra or "the task's connection ended"
        elif message.type is not aiohttp.WSMsgType.BINARY:
            return SERVER_FAULT, "the connection to the worker was lost"


async def _close(ws: WebSocket, code: int, reason: str) -> None:
    cut = reason.encode()[:REASON_LIMIT_BYTES].decode(errors="ignore")
    if not ws.closed:
        with contextlib.suppress(falcon.WebSocketDisconnected, OSError):
            await ws.close(code, cut or None)
