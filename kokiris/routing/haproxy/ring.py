"""Reading access lines out of HAProxy: each worker keeps its last ones in a ring and gives them out by its runtime API.

`show events <ring> -w` answers with all that is in the ring, oldest first, then with each line as it is written. So a
reader that returns reads again what it has read: lines have to be told apart by what is in them. While nobody reads,
the ring forgets its oldest lines; while a reader is behind, new ones are dropped, counted, and the count is a line of
its own. Requests wait for none of this.

A worker that was told to stop writes lines as long as it has clients, and lives as long as somebody reads them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

from kokiris.logs.model import ACCESS_LINE_BYTES, ACCESS_RING
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.haproxy.live import finished, pid_of, worker_of
from kokiris.routing.haproxy.runtime import HaproxyAway, ask_master

LOOK_S = 1.0
"""How often the master is asked for a new worker, whose ring holds its lines meanwhile, and workers whether they are
finished: they wait for us."""
GATHER_S = 0.2
"""How long lines are let gather before they are read, while there are few."""
CHUNK_BYTES = 256 * 1024
"""Of lines that are in our hands at a time, and as much again that is read ahead: a fraction of the ring, so that all
of them are still in it should we be killed."""
_FOLLOW = f"show info;show events {ACCESS_RING} -w\n".encode()
_HEAD_END = b"\n\n"

Take = Callable[[Sequence[bytes]], Awaitable[None]]
"""What is done with lines, without their ends. No more of their worker's are read until it returns."""


class LineSplitter:
    """Cuts a stream into lines, however it comes in pieces. Keeps at most `longest_bytes`: of a line that is longer
    only the beginning is given out."""

    def __init__(self, longest_bytes: int = ACCESS_LINE_BYTES) -> None:
        self._longest = longest_bytes
        self._begun = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, without their ends; empty ones are left out."""
        first, *others = data.split(b"\n")
        if not others:
            self._begun += first[: self._longest - len(self._begun)]
            return []
        whole = [self._begun + first, *others[:-1]]
        self._begun = others[-1][: self._longest]
        return [line[: self._longest] for line in whole if line]


class RingReader:
    """`run` until cancelled. It raises what `take` raises."""

    def __init__(self, files: HaproxyFiles, take: Take) -> None:
        self._files = files
        self._take = take
        self._followed: dict[int, asyncio.StreamWriter] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def followed(self) -> frozenset[int]:
        """Pids of the workers whose lines are read."""
        return frozenset(self._followed)

    async def run(self) -> None:
        """Follows every worker from when it takes over until it has written its last line."""
        try:
            while True:
                with contextlib.suppress(HaproxyAway):  # nothing to read; the agent starts it again
                    await self._look()
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look(self) -> None:
        """Raises HaproxyAway."""
        for ended in [pid for pid, task in self._tasks.items() if task.done()]:
            self._tasks.pop(ended).result()
        pid = worker_of(await ask_master(self._files.master_socket, "show proc"))
        if pid and pid not in self._tasks:
            self._tasks[pid] = asyncio.create_task(self._follow(pid), name=f"access lines of HAProxy's worker {pid}")
        for followed in list(self._followed):
            if finished(await ask_master(self._files.master_socket, f"@!{followed} show info")):
                writer = self._followed.pop(followed, None)
                if writer is not None:
                    writer.write_eof()  # answered with what is left in the ring, and the end

    async def _follow(self, pid: int) -> None:
        """Until its lines end. Returns at once when another worker answers still: the next look tries again."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._files.socket), limit=CHUNK_BYTES)
        except OSError:
            return
        try:
            writer.write(_FOLLOW)
            head = await reader.readuntil(_HEAD_END)
            if pid_of(head.decode("utf-8", "replace")) != pid:
                return
            self._followed[pid] = writer
            lines = LineSplitter()
            while data := await reader.read(CHUNK_BYTES):
                began_s = time.monotonic()
                await self._take(lines.feed(data))
                took_s = time.monotonic() - began_s
                # With more lines than can be taken, half of the time: the processors are there for requests first.
                await asyncio.sleep(GATHER_S if len(data) < CHUNK_BYTES else took_s)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # it was killed
        finally:
            self._followed.pop(pid, None)
            writer.close()
