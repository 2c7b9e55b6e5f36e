"""A task's log files: `<task>.<stdout|stderr>.<n>`, rotated by size, the oldest removed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class LogLimits:
    """Of the task's `logs` block, per stream."""

    max_files: int = 10
    max_file_bytes: int = 10 * 1024 * 1024
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """How a chunk goes on in the present file: `here` bytes of it, then a new file."""

    here: int
    rotate: bool


def split(size_bytes: int, chunk: bytes, limit_bytes: int) -> Split:
    """Where `chunk` must be cut for a file of `size_bytes`: at the last line end that fits, if there is one. Pure."""
    room = limit_bytes - size_bytes
    if len(chunk) <= room:
        return Split(len(chunk), rotate=False)
    if room <= 0:
        return Split(0, rotate=True)
    line_end = chunk.rfind(b"\n", 0, room)
    if line_end >= 0:
        return Split(line_end + 1, rotate=True)
    return Split(0 if size_bytes else room, rotate=True)


def expired(indexes: Iterable[int], max_files: int) -> list[int]:
    """The indexes of files to remove: all but the newest `max_files`. Pure."""
    return sorted(indexes)[: -max(1, max_files)]


def indexes(folder: Path, task: str, stream: str) -> list[int]:
    """Indexes of the stream's files, ascending; empty when there are none."""
    pattern = re.compile(rf"{re.escape(task)}\.{stream}\.(\d+)")
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := pattern.fullmatch(name)))


def log_file(folder: Path, task: str, stream: str, index: int) -> Path:
    """`<folder>/<task>.<stream>.<index>`."""
    return folder / f"{task}.{stream}.{index}"


class RotatingFile:
    """The writing end of one stream. Knows at each moment (`index`, `offset`) up to which all is written."""

    def __init__(self, folder: Path, task: str, stream: str, limits: LogLimits) -> None:
        self._folder, self._task, self._stream, self._limits = folder, task, stream, limits
        present = indexes(folder, task, stream)
        self.index = present[-1] if present else 0
        self.offset = 0
        self._descriptor = -1
        self._open()

    def fileno(self) -> int:
        """Of the present file, positioned at its end."""
        return self._descriptor

    def rewind_to(self, index: int, offset: int) -> None:
        """Forgets what was written after a recorded position, so that it can be written again."""
        if index not in indexes(self._folder, self._task, self._stream):
            return
        os.close(self._descriptor)
        for later in indexes(self._folder, self._task, self._stream):
            if later > index:
                self._path(later).unlink(missing_ok=True)
        self.index = index
        self._open()
        if offset < self.offset:
            os.ftruncate(self._descriptor, offset)
            os.lseek(self._descriptor, 0, os.SEEK_END)
            self.offset = offset

    def write(self, data: bytes) -> None:
        """Appends, rotating as often as needed."""
        while data:
            part = split(self.offset, data, self._limits.max_file_bytes)
            head, data = data[: part.here], data[part.here :]
            if head:
                self._append(head)
            if part.rotate:
                self.rotate()

    def wrote(self, count: int) -> None:
        """`count` bytes were put into `fileno()` from outside (splice)."""
        self.offset += count
        if self.offset >= self._limits.max_file_bytes:
            self.rotate()

    def rotate(self) -> None:
        """Goes on in a new file and removes the oldest."""
        os.close(self._descriptor)
        self.index += 1
        self._open()
        for old in expired(indexes(self._folder, self._task, self._stream), self._limits.max_files):
            self._path(old).unlink(missing_ok=True)

    def close(self) -> None:
        """Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self.offset += len(data)

    def _path(self, index: int) -> Path:
        return log_file(self._folder, self._task, self._stream, index)

    def _open(self) -> None:
        self._descriptor = os.open(self._path(self.index), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.offset = os.lseek(self._descriptor, 0, os.SEEK_END)
