"""Websocket `/v1/client/allocation/<alloc>/exec`: a command in a task, in Nomad's frames."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import falcon.asgi
import msgspec
from falcon import WebSocketDisconnected

from kokiris.kernel.errors import BadInput, KokirisError
from kokiris.worker.allocations import Allocations
from kokiris.worker.drivers.contract import ExecSession
from kokiris.worker.surroundings import Surroundings

log = logging.getLogger(__name__)

CLOSE_POLICY, CLOSE_INTERNAL = 1008, 1011
REASON_LIMIT_BYTES = 120


class Chunk(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`data` is base64 on the wire."""

    data: bytes = b""
    close: bool = False


class TtySize(msgspec.Struct, kw_only=True):
    """In characters."""

    height: int = 0
    width: int = 0


class ExecInput(msgspec.Struct, kw_only=True):
    """What the client sends; an empty object keeps the connection alive."""

    stdin: Chunk | None = None
    tty_size: TtySize | None = None


class ExecResult(msgspec.Struct, kw_only=True):
    """How the command ended."""

    exit_code: int = 0


class ExecOutput(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the client is sent."""

    stdout: Chunk | None = None
    stderr: Chunk | None = None
    exited: bool = False
    result: ExecResult | None = None


class Execution:
    """The websocket's resource."""

    def __init__(self, allocations: Allocations, around: Surroundings) -> None:
        self._allocations = allocations
        self._around = around

    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, alloc_id: str) -> None:
        """Errors close the connection with 1008 or 1011 and their text as the reason, as Nomad's clients expect."""
        await ws.accept()
        session: ExecSession | None = None
        try:
            session = await self._open(req, alloc_id)
            await self._talk(ws, session)
        except WebSocketDisconnected:
            log.info("exec in %s: the client left", alloc_id[:8])
        except KokirisError as error:
            code = CLOSE_INTERNAL if error.http_status >= 500 else CLOSE_POLICY
            with contextlib.suppress(WebSocketDisconnected):
                await ws.close(code, error.message.encode()[:REASON_LIMIT_BYTES].decode(errors="ignore"))
        finally:
            if session is not None:
                await session.close()

    async def _open(self, req: falcon.asgi.Request, alloc_id: str) -> ExecSession:
        runner = self._allocations.find(alloc_id)
        command = _command(req.get_param("command", default="") or "")
        name = req.get_param("task", default="") or ""
        if not name and len(runner.tasks) == 1:
            name = next(iter(runner.tasks))
        task = runner.task(name)
        driver = self._around.drivers.get(task.task.Driver)
        if task.state.State != "running" or task.handle is None or driver is None:
            raise BadInput(f'task "{name}" is not running')
        return await driver.exec(task.handle, command, tty=bool(req.get_param_as_bool("tty", default=False)))

    async def _talk(self, ws: falcon.asgi.WebSocket, session: ExecSession) -> None:
        """Both directions at once, until the command has ended or the client has left."""
        sending = asyncio.create_task(_send_output(ws, session))
        receiving = asyncio.create_task(_take_input(ws, session))
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done() and not sending.done():
                receiving.result()
            await sending
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)


async def _send_output(ws: falcon.asgi.WebSocket, session: ExecSession) -> None:
    async for stream, data in session.output():
        chunk = Chunk(data=data)
        output = ExecOutput(stderr=chunk) if stream == "stderr" else ExecOutput(stdout=chunk)
        await ws.send_text(msgspec.json.encode(output).decode())
    for ended in (ExecOutput(stdout=Chunk(close=True)), ExecOutput(stderr=Chunk(close=True))):
        await ws.send_text(msgspec.json.encode(ended).decode())
    code = await session.exit_code()
    last = ExecOutput(exited=True, result=ExecResult(exit_code=code))
    await ws.send_text(msgspec.json.encode(last).decode())
    await ws.close()


async def _take_input(ws: falcon.asgi.WebSocket, session: ExecSession) -> None:
    """Raises WebSocketDisconnected when the client leaves, BadInput for what is no frame."""
    while True:
        raw = await ws.receive_text()
        try:
            frame = msgspec.json.decode(raw, type=ExecInput)
        except msgspec.MsgspecError as error:
            raise BadInput(f"exec frame is not one: {error}") from error
        if frame.tty_size is not None:
            await session.resize(frame.tty_size.height, frame.tty_size.width)
        if frame.stdin is not None:
            if frame.stdin.data:
                await session.write(frame.stdin.data)
            if frame.stdin.close:
                await session.close_input()


def _command(raw: str) -> list[str]:
    """Raises BadInput for anything but a JSON array of at least one text."""
    try:
        command = msgspec.json.decode(raw, type=list[str])
    except msgspec.MsgspecError as error:
        raise BadInput("command must be a JSON array of texts") from error
    if not command:
        raise BadInput("command is not present")
    return command
