"""Where MariaDB's own client programs run: beside the server, so that root's password never leaves that place."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import aiohttp
import msgspec

from kokiris.kernel.errors import Unavailable
from kokiris.orchestrator.model.node import Node

KEEP_ALIVE_S = 10.0


class Session(Protocol):
    """A running command."""

    async def write(self, data: bytes) -> None:
        """To its standard input. Raises Unavailable when it has ended, or cannot be reached any more."""
        ...

    async def close_input(self) -> None: ...

    def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """("stdout" or "stderr", bytes) until the command ends. Raises Unavailable when the connection breaks."""
        ...

    @property
    def exit_code(self) -> int:
        """Known once `output` has ended."""
        ...


class Host(Protocol):
    """Runs commands where MariaDB is."""

    def run(self, command: Sequence[str]) -> AbstractAsyncContextManager[Session]:
        """Raises Unavailable when MariaDB does not run or cannot be reached."""
        ...


class Dialer(Protocol):
    """The part of `orchestrator.api.dial.NodeDialer` needed here."""

    def websocket(
        self, node: Node, path: str, query: Mapping[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]: ...


class _Chunk(msgspec.Struct):
    data: bytes = b""
    close: bool = False


class _Result(msgspec.Struct):
    exit_code: int = 0


class _Frame(msgspec.Struct):
    stdout: _Chunk | None = None
    stderr: _Chunk | None = None
    exited: bool = False
    result: _Result | None = None


class AllocationHost:
    """MariaDB's allocation, through its worker's exec. `find` gives (node, allocation, task); None when none runs."""

    def __init__(self, dialer: Dialer, find: Callable[[], tuple[Node, str, str] | None]) -> None:
        self._dialer = dialer
        self._find = find

    @contextlib.asynccontextmanager
    async def run(self, command: Sequence[str]) -> AsyncIterator[Session]:
        """See `Host`."""
        found = self._find()
        if found is None:
            raise Unavailable("MariaDB does not run", next_step="Run `kokiris addon enable mariadb` on the node.")
        node, alloc_id, task = found
        query = {"task": task, "command": msgspec.json.encode(list(command)).decode(), "tty": "false"}
        try:
            async with self._dialer.websocket(node, f"/v1/client/allocation/{alloc_id}/exec", query) as websocket:
                session = _ExecSession(websocket)
                beating = asyncio.create_task(session.keep_alive())
                try:
                    yield session
                finally:
                    beating.cancel()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f'the worker of node "{node.Name}" does not answer: {type(error).__name__}') from error


class _ExecSession:
    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self.exit_code = -1

    async def write(self, data: bytes) -> None:
        await self._send({"stdin": {"data": data}})

    async def close_input(self) -> None:
        await self._send({"stdin": {"close": True}})

    async def keep_alive(self) -> None:
        """Until cancelled, or the connection is gone."""
        with contextlib.suppress(Unavailable):
            while True:
                await asyncio.sleep(KEEP_ALIVE_S)
                await self._send({})

    async def _send(self, frame: Mapping[str, object]) -> None:
        try:
            await self._websocket.send_str(msgspec.json.encode(frame).decode())
        except (ConnectionError, RuntimeError) as error:
            raise Unavailable("the command in MariaDB's container has ended") from error

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        while True:
            message = await self._websocket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                reason = message.extra if message.type is aiohttp.WSMsgType.CLOSE else ""
                raise Unavailable(f"the command in MariaDB's container was cut off{f': {reason}' if reason else ''}")
            frame = msgspec.json.decode(message.data, type=_Frame)
            for stream, chunk in (("stdout", frame.stdout), ("stderr", frame.stderr)):
                if chunk is not None and chunk.data:
                    yield stream, chunk.data
            if frame.exited:
                self.exit_code = frame.result.exit_code if frame.result else 0
                return
