"""Copies a container's output into the task's log files: each entry once, also over `kill -9` of the worker.

The files are written first, the position file after; a returning worker cuts the files back to the recorded position
and asks docker again from the recorded timestamp on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import msgspec

from kokiris.kernel.errors import KokirisError, NotFound
from kokiris.worker.drivers.engine import Engine
from kokiris.worker.logs.engine_frames import (
    FrameParser,
    Positions,
    advance,
    is_new,
    resume_from_ns,
    since_parameter,
    stamped,
)
from kokiris.worker.logs.files import LogLimits, RotatingFile

log = logging.getLogger(__name__)

RECORD_EVERY_S = 0.2
RETRY_S = 0.5
CHUNK_BYTES = 64 * 1024


class DockerFollower:
    """Of one attempt of one task. `position_file` is the attempt's own."""

    def __init__(
        self, engine: Engine, container: str, folder: Path, task: str, *, limits: LogLimits, position_file: Path
    ) -> None:
        self._engine = engine
        self._container = container
        self._position_file = position_file
        self._positions = Positions(container_id=container)
        self._files = {stream: RotatingFile(folder, task, stream, limits) for stream in ("stdout", "stderr")}
        self._dirty = False
        self._begin()

    async def run(self) -> None:
        """Returns when the container has ended (or is gone) and all its output is copied."""
        try:
            tty = await self._is_tty()
            while not await self._follow_until_cut(tty=tty):  # noqa: ASYNC110 - the engine gives no sign
                await asyncio.sleep(RETRY_S)
        finally:
            self._record()
            for file in self._files.values():
                file.close()

    async def _is_tty(self) -> bool:
        while True:
            try:
                return bool((await self._engine.inspect(self._container))["Config"]["Tty"])
            except NotFound:
                return False
            except KokirisError:
                await asyncio.sleep(RETRY_S)

    async def _follow_until_cut(self, *, tty: bool) -> bool:
        """True when there is no more to come."""
        try:
            await self._follow(tty=tty)
            state = (await self._engine.inspect(self._container))["State"]
            if state["Running"] or state.get("Restarting"):
                return False
            await self._follow(tty=tty, follow=False)  # following, dockerd leaves out a last line without its end
            return True
        except NotFound:
            return True
        except KokirisError as error:
            log.info("log of container %s: %s; asking again", self._container[:12], error.message)
            return False

    async def _follow(self, *, tty: bool, follow: bool = True) -> None:
        positions = {"stdout": self._positions.stdout, "stderr": self._positions.stderr}
        resumed = {name: (position.last_ns, position.seen) for name, position in positions.items()}
        met = dict.fromkeys(positions, 0)
        parser = FrameParser(tty=tty)
        params = {
            "follow": "1" if follow else "0",
            "stdout": "1",
            "stderr": "1",
            "timestamps": "1",
            "since": since_parameter(resume_from_ns(self._positions)),
        }
        recorder = asyncio.create_task(self._record_regularly())
        try:
            async with self._engine.response(
                "GET", f"containers/{self._container}/logs", params=params, endless=True
            ) as answer:
                async for chunk in answer.content.iter_any():
                    for stream, payload in parser.feed(chunk):
                        stamp_ns, text = stamped(payload)
                        resumed_ns, resumed_seen = resumed[stream]
                        met[stream] += stamp_ns == resumed_ns
                        if not is_new(resumed_ns, resumed_seen, stamp_ns, met[stream]):
                            continue
                        self._files[stream].write(text)
                        advance(positions[stream], stamp_ns)
                        self._dirty = True
        finally:
            recorder.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await recorder
            self._record()

    async def _record_regularly(self) -> None:
        while True:
            await asyncio.sleep(RECORD_EVERY_S)
            self._record()

    def _begin(self) -> None:
        """Cuts back what an earlier worker wrote after its last record; records the start of a new attempt."""
        recorded = self._recorded()
        if recorded is None:
            self._dirty = True
            self._record()
            return
        self._positions = recorded
        for stream, position in (("stdout", recorded.stdout), ("stderr", recorded.stderr)):
            self._files[stream].rewind_to(position.index, position.offset)

    def _record(self) -> None:
        """Replaces the position file. Not synced to disk: it must survive our death, not the machine's."""
        if not self._dirty:
            return
        self._dirty = False
        for stream, position in (("stdout", self._positions.stdout), ("stderr", self._positions.stderr)):
            position.index, position.offset = self._files[stream].index, self._files[stream].offset
        temporary = self._position_file.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):  # the allocation's folder has been collected
            temporary.write_bytes(msgspec.json.encode(self._positions))
            temporary.replace(self._position_file)

    def _recorded(self) -> Positions | None:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found = msgspec.json.decode(self._position_file.read_bytes(), type=Positions)
            return found if found.container_id == self._container else None
        return None
