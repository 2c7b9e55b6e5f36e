"""A command beside a raw_exec task: its environment, its folder, with or without a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from kokiris.kernel.errors import BadInput
from kokiris.worker.drivers.processes import resolve

CHUNK_BYTES = 32 * 1024


class RawExecSession:
    """See `drivers.contract.ExecSession`. `terminal` -1: pipes."""

    def __init__(self, process: Process, terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self._chunks: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue(64)
        self._readers = [asyncio.create_task(self._read_terminal())] if terminal >= 0 else self._pipe_readers()
        self._open = len(self._readers)

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """See the contract."""
        while self._open:
            chunk = await self._chunks.get()
            if chunk is None:
                self._open -= 1
            else:
                yield chunk

    async def write(self, data: bytes) -> None:
        """Dropped once the command has closed its input."""
        with contextlib.suppress(OSError):
            if self._terminal >= 0:
                await asyncio.get_running_loop().run_in_executor(None, os.write, self._terminal, data)
            elif self._process.stdin is not None:
                self._process.stdin.write(data)
                await self._process.stdin.drain()

    async def close_input(self) -> None:
        """With a terminal: the end-of-file character."""
        if self._terminal >= 0:
            await self.write(b"\x04")
        elif self._process.stdin is not None:
            self._process.stdin.close()

    async def resize(self, height: int, width: int) -> None:
        """See the contract."""
        if self._terminal >= 0:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def exit_code(self) -> int:
        """128 + signal for a killed command, as shells say it."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        """Kills what still runs. Idempotent."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGHUP)
            self._process.kill()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self._process.wait()
        if self._terminal >= 0:
            asyncio.get_running_loop().remove_reader(self._terminal)
            os.close(self._terminal)
            self._terminal = -1

    def _pipe_readers(self) -> list[asyncio.Task[None]]:
        streams = (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        return [asyncio.create_task(self._read_pipe(name, pipe)) for name, pipe in streams if pipe is not None]

    async def _read_pipe(self, name: str, pipe: asyncio.StreamReader) -> None:
        while chunk := await pipe.read(CHUNK_BYTES):
            await self._chunks.put((name, chunk))
        await self._chunks.put(None)

    async def _read_terminal(self) -> None:
        loop = asyncio.get_running_loop()
        os.set_blocking(self._terminal, False)
        while True:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(self._terminal, resolve, readable)
            try:
                await readable
                chunk = os.read(self._terminal, CHUNK_BYTES)
            except BlockingIOError:
                continue
            except OSError:  # the other end is closed: the command has ended
                break
            finally:
                loop.remove_reader(self._terminal)
            if not chunk:
                break
            await self._chunks.put(("stdout", chunk))
        await self._chunks.put(None)


async def open_exec(task_pid: int, command: Sequence[str], *, tty: bool) -> RawExecSession:
    """Raises BadInput when the command cannot be run."""
    env, work_dir = _surroundings(task_pid)
    ours, theirs = pty.openpty() if tty else (-1, -1)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=theirs if tty else PIPE,
            stdout=theirs if tty else PIPE,
            stderr=theirs if tty else PIPE,
            env=env,
            cwd=work_dir,
            start_new_session=True,
            preexec_fn=_take_terminal if tty else None,
        )
    except OSError as error:
        if tty:
            os.close(ours)
        raise BadInput(f'cannot run "{command[0]}": {error.strerror}') from error
    finally:
        if tty:
            os.close(theirs)
    return RawExecSession(process, ours)


def _take_terminal() -> None:
    """In the new process: its terminal becomes the session's own, so that ^C reaches it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _surroundings(pid: int) -> tuple[dict[str, str], str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        work_dir = str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError as error:
        raise BadInput("Task not running") from error
    pairs = (one.decode(errors="surrogateescape").partition("=") for one in raw if b"=" in one)
    return {name: value for name, _, value in pairs}, work_dir
