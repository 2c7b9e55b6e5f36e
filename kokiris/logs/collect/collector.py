"""The collector of one node: every task's output, from its files to the index.

Positions are kept after the index has acknowledged; ids are made of file and offset, so that what is sent twice
(after a crash in between) is kept once. A container never waits for any of this: its worker writes files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from kokiris.infra.config import Layout
from kokiris.kernel.files import write_atomic
from kokiris.logs.collect.allocs import alloc_ids, log_folder, read_origin
from kokiris.logs.collect.shipper import Shipment, Shipper
from kokiris.logs.collect.tail import Line, Position, read_lines, streams_in, unread_bytes
from kokiris.logs.entries import Entry, EntryJoiner
from kokiris.logs.lines import document_of
from kokiris.logs.model import Origin

log = logging.getLogger(__name__)

EVERY_S = 0.25
LOOK_AROUND_S = 1.0
"""How often new allocations and streams are looked for."""
TRACE_WAIT_S = 0.5
"""How long an entry is held back for further lines of it: a program writes a trace in one go."""
PARTIAL_WAIT_S = 3.0
"""How long an output may stand still within a line until that counts as a whole one: a program's last words."""
BATCH_ENTRIES = 2000


class Positions(msgspec.Struct, kw_only=True):
    """What is kept: "<alloc>/<task>/<stream>" → position, and whose allocation it is."""

    streams: dict[str, Position] = msgspec.field(default_factory=dict)
    allocs: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """One that is followed. `read`: up to where lines are taken in; `shipped`: up to where they are acknowledged."""

    folder: Path
    origin: Origin
    shipped: Position
    read: Position
    joiner: EntryJoiner = field(default_factory=EntryJoiner)
    opened: Line | None = None
    """The first line of the entry that is still open."""
    last_line_s: float = 0.0
    partial_bytes: int = 0
    """Of a line without its end, and since when there were so many."""
    partial_since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Ready:
    """An entry, and the position that holds once it is acknowledged."""

    stream: Stream
    shipment: Shipment
    after: Position


class Collector:
    """`run` until cancelled; what was read and not acknowledged is read again by the next one."""

    def __init__(self, layout: Layout, *, infra: str, node: str, shipper: Shipper, kept: Path) -> None:
        self._layout = layout
        self._infra = infra
        self._node = node
        self._shipper = shipper
        self._kept_file = kept
        self._kept = self._load()
        self._streams: dict[str, Stream] = {}
        self._looked_s = -1e9

    async def run(self) -> None:
        """Follows everything."""
        while True:
            if not await self.step():
                await asyncio.sleep(EVERY_S)

    async def step(self) -> int:
        """One round over all streams; how many entries were shipped. Returns after their acknowledgement."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_AROUND_S:
            self._looked_s = now_s
            self._look_around()
        ready: list[_Ready] = []
        for stream in list(self._streams.values()):
            ready += self._read(stream, now_s)
            if len(ready) >= BATCH_ENTRIES:
                await self._ship(ready)
                return len(ready)
        await self._ship(ready)
        return len(ready)

    async def _ship(self, ready: list[_Ready]) -> None:
        if not ready:
            return
        await self._shipper.ship([one.shipment for one in ready])
        for one in ready:
            one.stream.shipped = one.after
        self._save()

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _read(self, stream: Stream, now_s: float) -> list[_Ready]:
        read_us = time.time_ns() // 1000
        lines = self._lines(stream, now_s)
        ready: list[_Ready] = []
        for line in lines:
            stream.read = Position(index=line.index, inode=line.inode, offset=line.end)
            stream.last_line_s = now_s
            before = Position(index=line.index, inode=line.inode, offset=line.start)
            ended = stream.joiner.add(line.text, line.start)
            if ended is not None and stream.opened is not None:
                ready += self._entry(stream, ended, stream.opened, before, read_us)
            if ended is not None or stream.opened is None:
                stream.opened = line
        if stream.opened is not None and not lines and now_s - stream.last_line_s >= TRACE_WAIT_S:
            ended = stream.joiner.flush()
            if ended is not None:
                ready += self._entry(stream, ended, stream.opened, stream.read, read_us)
            stream.opened = None
        return ready

    def _lines(self, stream: Stream, now_s: float) -> list[Line]:
        where = (stream.folder, stream.origin.task, stream.origin.stream, stream.read)
        lines = read_lines(*where)
        partial_bytes = 0 if lines else unread_bytes(*where)
        if partial_bytes != stream.partial_bytes:
            stream.partial_bytes, stream.partial_since_s = partial_bytes, now_s
        elif partial_bytes and now_s - stream.partial_since_s >= PARTIAL_WAIT_S:
            return read_lines(*where, to_the_end=True)
        return lines

    def _entry(self, stream: Stream, entry: Entry, first: Line, after: Position, read_us: int) -> list[_Ready]:
        if not entry.text.strip():
            return []
        origin = stream.origin
        mark = "o" if origin.stream == "stdout" else "e"
        identifier = f"{origin.alloc}.{origin.task}.{mark}{first.index}.{first.start:x}"
        return [_Ready(stream, Shipment(identifier, document_of(entry.text, origin, read_us)), after)]

    # ---- what there is ----------------------------------------------------------------------------------------------

    def _look_around(self) -> None:
        present = alloc_ids(self._layout)
        for alloc_id in present:
            folder = log_folder(self._layout, alloc_id)
            for task, name in streams_in(folder):
                key = f"{alloc_id}/{task}/{name}"
                if key not in self._streams and (origin := self._origin(alloc_id)) is not None:
                    position = self._kept.streams.get(key, Position())
                    self._streams[key] = Stream(folder, replace(origin, task=task, stream=name), position, position)
        self._forget(set(present))

    def _origin(self, alloc_id: str) -> Origin | None:
        known = self._kept.allocs.get(alloc_id)
        if known is not None:
            return Origin(**known)
        origin = read_origin(self._layout, alloc_id, self._infra, self._node)
        if origin is not None:
            self._kept.allocs[alloc_id] = origin.fields()
        return origin

    def _forget(self, present: set[str]) -> None:
        """Allocations whose files are collected: nothing more can come of them."""
        for key in [key for key in self._streams if key.split("/", 1)[0] not in present]:
            stream = self._streams.pop(key)
            self._kept.streams.pop(key, None)
            self._kept.allocs.pop(stream.origin.alloc, None)

    # ---- keeping ----------------------------------------------------------------------------------------------------

    def _load(self) -> Positions:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._kept_file.read_bytes(), type=Positions)
        return Positions()

    def _save(self) -> None:
        self._kept.streams.update({key: stream.shipped for key, stream in self._streams.items()})
        try:
            write_atomic(self._kept_file, msgspec.json.encode(self._kept), mode=0o600)
        except OSError as error:
            log.warning("positions are not kept: %s", error)
