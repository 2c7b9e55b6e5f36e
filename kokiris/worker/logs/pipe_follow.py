"""Moves a process's output from its pipes into the task's log files, inside the kernel (`splice`): what has left the
pipe is in the file, also when the worker is killed in between."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

from kokiris.worker.drivers.processes import resolve
from kokiris.worker.logs.files import STREAMS, LogLimits, RotatingFile

CHUNK_BYTES = 64 * 1024
IDLE_CHECK_S = 0.2


class PipeFollower:
    """Of one attempt, whose `folder` holds the pipes and, once it has ended, the file `exit`."""

    def __init__(self, folder: Path, log_folder: Path, task: str, limits: LogLimits) -> None:
        self._folder = folder
        self._log_folder, self._task, self._limits = log_folder, task, limits

    async def run(self) -> None:
        """Returns when the attempt has ended and both pipes are empty."""
        async with asyncio.TaskGroup() as group:
            for stream in STREAMS:
                group.create_task(self._follow(stream))

    async def _follow(self, stream: str) -> None:
        try:
            # for both: a pipe that we alone hold open is no end of file, and what it holds stays in it
            pipe = os.open(self._folder / stream, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        file = RotatingFile(self._log_folder, self._task, stream, self._limits)
        try:
            while True:
                ended = (self._folder / "exit").exists()  # read before the pipe: nothing comes after it
                if self._move(pipe, file):
                    await asyncio.sleep(0)
                elif ended:
                    return
                else:
                    await _readable(pipe, IDLE_CHECK_S)
        finally:
            os.close(pipe)
            file.close()

    def _move(self, pipe: int, file: RotatingFile) -> int:
        """Bytes moved; 0 when the pipe is empty."""
        room = max(1, self._limits.max_file_bytes - file.offset)
        try:
            moved = os.splice(pipe, file.fileno(), min(CHUNK_BYTES, room), flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            moved = os.write(file.fileno(), os.read(pipe, CHUNK_BYTES))  # a file system that cannot splice
        file.wrote(moved)
        return moved


async def _readable(descriptor: int, timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, resolve, future)
    try:
        await asyncio.wait({future}, timeout=timeout_s)
    finally:
        loop.remove_reader(descriptor)
