"""A command inside a container, with or without a terminal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from aiodocker import DockerError
from aiodocker.stream import Stream

from kokiris.kernel.errors import BadInput, Conflict, KokirisError, NotFound
from kokiris.worker.drivers.engine import Engine, translated

_NAMES = {0: "stdout", 1: "stdout", 2: "stderr"}
_SETTLE_S = 0.02
_SETTLE_TRIES = 250


class DockerExec:
    """See `drivers.contract.ExecSession`."""

    def __init__(self, engine: Engine, exec_id: str, stream: Stream) -> None:
        self._engine = engine
        self._exec_id = exec_id
        self._stream = stream

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """See the contract."""
        while True:
            try:
                message = await self._stream.read_out()
            except DockerError as error:
                raise translated(error) from error
            if message is None:
                return
            yield _NAMES.get(message.stream, "stdout"), bytes(message.data)

    async def write(self, data: bytes) -> None:
        """Dropped once the command has closed its input."""
        with contextlib.suppress(OSError, RuntimeError, AssertionError):
            await self._stream.write_in(data)

    async def close_input(self) -> None:
        """Half-closes the connection: the command reads an end of file."""
        response = self._stream._resp
        transport = response.connection.transport if response is not None and response.connection else None
        if transport is not None and transport.can_write_eof():
            transport.write_eof()

    async def resize(self, height: int, width: int) -> None:
        """Before the command is up the engine may refuse: the next size will do."""
        with contextlib.suppress(KokirisError):
            await self._engine.exec_resize(self._exec_id, height, width)

    async def exit_code(self) -> int:
        """The stream ends a moment before the engine knows the code."""
        for _ in range(_SETTLE_TRIES):
            found = await self._engine.exec_inspect(self._exec_id)
            if not found["Running"] and found["ExitCode"] is not None:
                return int(found["ExitCode"])
            await asyncio.sleep(_SETTLE_S)
        return 0

    async def close(self) -> None:
        """Idempotent."""
        with contextlib.suppress(OSError, AssertionError):
            await self._stream.close()


async def open_exec(engine: Engine, container: str, command: Sequence[str], *, tty: bool) -> DockerExec:
    """Starts it. Raises BadInput when the container does not run or docker refuses the command."""
    body = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": tty, "Cmd": list(command)}
    try:
        exec_id = await engine.exec_create(container, body)
        stream = engine.exec_start(exec_id, tty=tty)
        await stream.__aenter__()
    except (NotFound, Conflict) as error:
        raise BadInput(f"cannot run a command in this task: {error.message}") from error
    except DockerError as error:
        raise BadInput(f"cannot run the command: {error.message}") from error
    return DockerExec(engine, exec_id, stream)
