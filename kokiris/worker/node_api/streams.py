"""Reading files as they grow: one file, or a task's rotating log files one after the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from kokiris.worker.logs.files import indexes, log_file
from kokiris.worker.node_api.frames import DELETED, TRUNCATED, StreamFrame, start_position

CHUNK_BYTES = 64 * 1024
POLL_S = 0.05
MAX_POLL_S = 0.25
HEARTBEAT_S = 1.0
Ended = Callable[[], bool]


async def stream_file(
    descriptor: int, path: Path, name: str, origin: str, offset: int, *, follow: bool
) -> AsyncIterator[StreamFrame | None]:
    """Frames of one file; None is a heartbeat. With `follow` until it is deleted. Closes `descriptor`."""
    try:
        size = os.fstat(descriptor).st_size
        at = max(0, size - offset) if origin == "end" else min(offset, size)
        pause = _Pause()
        while True:
            data = os.pread(descriptor, CHUNK_BYTES, at)
            if data:
                yield StreamFrame(File=name, Offset=at, Data=data)
                at += len(data)
                pause.reset()
                continue
            if not follow:
                return
            if not path.exists():  # noqa: ASYNC240 - one stat of a cached entry
                yield StreamFrame(File=name, Offset=at, FileEvent=DELETED)
                return
            if os.fstat(descriptor).st_size < at:
                yield StreamFrame(File=name, Offset=at, FileEvent=TRUNCATED)
                at = 0
            elif await pause.wait():
                yield None
    finally:
        os.close(descriptor)


async def stream_logs(
    folder: Path, task: str, stream: str, origin: str, offset: int, *, follow: bool, ended: Ended
) -> AsyncIterator[StreamFrame | None]:
    """Frames of all log files of one stream, the oldest first. With `follow` until the task has ended and all is
    read."""
    present = indexes(folder, task, stream)
    sizes = [_size(log_file(folder, task, stream, index)) for index in present]
    number, at = start_position(sizes, origin, offset)
    index = present[number] if present else 0
    pause = _Pause()
    while True:
        over = ended()
        newer = [one for one in indexes(folder, task, stream) if one > index]
        moved = False
        async for frame in _rest(log_file(folder, task, stream, index), f"alloc/logs/{task}.{stream}.{index}", at):
            at = frame.Offset + len(frame.Data)
            moved = True
            yield frame
        if moved:
            pause.reset()
        if newer:
            index, at = newer[0], 0
        elif not follow or (over and not moved):
            return
        elif not moved:
            at = min(at, _size(log_file(folder, task, stream, index)))  # cut back after the worker's return
            if await pause.wait():
                yield None


async def _rest(path: Path, name: str, at: int) -> AsyncIterator[StreamFrame]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        while data := os.pread(descriptor, CHUNK_BYTES, at):
            yield StreamFrame(File=name, Offset=at, Data=data)
            at += len(data)
            await asyncio.sleep(0)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Pause:
    """Waits a little longer each time nothing came; says when a heartbeat is due."""

    def __init__(self) -> None:
        self._next_s = POLL_S
        self._silent_s = 0.0

    def reset(self) -> None:
        self._next_s, self._silent_s = POLL_S, 0.0

    async def wait(self) -> bool:
        await asyncio.sleep(self._next_s)
        self._silent_s += self._next_s
        self._next_s = min(MAX_POLL_S, self._next_s * 1.5)
        if self._silent_s >= HEARTBEAT_S:
            self._silent_s = 0.0
            return True
        return False
