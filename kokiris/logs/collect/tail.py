"""Following one stream of a task through its rotated files, from a kept position, without losing or doubling a line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

CHUNK_BYTES = 256 * 1024
LONGEST_LINE_BYTES = 1024 * 1024
"""Without a line end for so long, what there is counts as a line."""


class Position(msgspec.Struct, kw_only=True):
    """Up to where a stream is shipped: `offset` bytes of its file number `index`, whose `inode` tells it from another
    file of that name."""

    index: int = 0
    inode: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line, without its end, and the file and offset it began at and ends at."""

    text: str
    index: int
    start: int
    inode: int
    end: int


def read_lines(
    folder: Path,
    task: str,
    stream: str,
    position: Position,
    limit_bytes: int = CHUNK_BYTES,
    *,
    to_the_end: bool = False,
) -> list[Line]:
    """Whole lines after `position`, of about `limit_bytes`; none when there is nothing new. A rotated-away file's rest
    is lost with it; a file that a returning worker has cut back is waited for. `position` is not changed. `to_the_end`:
    what has no line end yet counts as a line too."""
    numbers = _numbers(folder, task, stream)
    lines: list[Line] = []
    for number in numbers:
        if number < position.index:
            continue
        path = folder / f"{task}.{stream}.{number}"
        start = position.offset if number == position.index else 0
        later = number < numbers[-1]
        try:
            with path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if number == position.index and position.inode and facts.st_ino != position.inode:
                    start = 0
                if facts.st_size <= start:
                    continue
                file.seek(start)
                data = file.read(limit_bytes)
        except FileNotFoundError:
            continue
        whole_file = start + len(data) >= facts.st_size and (later or to_the_end)
        found = _split(data, number, start, facts.st_ino, to_the_end=whole_file)
        if not found and len(data) >= limit_bytes and limit_bytes < LONGEST_LINE_BYTES:
            return lines or read_lines(folder, task, stream, position, LONGEST_LINE_BYTES)
        lines += found
        limit_bytes -= len(data)
        if limit_bytes <= 0 or (found and found[-1].end < facts.st_size and later):
            break
    return lines


def unread_bytes(folder: Path, task: str, stream: str, position: Position) -> int:
    """How much lies after `position` in its file: once all lines are read, the beginning of the next."""
    try:
        facts = (folder / f"{task}.{stream}.{position.index}").stat()
    except OSError:
        return 0
    return max(0, facts.st_size - position.offset) if position.inode in {0, facts.st_ino} else 0


def _split(data: bytes, number: int, start: int, inode: int, *, to_the_end: bool) -> list[Line]:
    end = data.rfind(b"\n") + 1
    if to_the_end or (not end and len(data) >= LONGEST_LINE_BYTES):
        end = len(data)
    found: list[Line] = []
    at = start
    for raw in _lines_of(data[:end]):
        text = raw.rstrip(b"\r\n").decode("utf-8", "replace")
        found.append(Line(text, number, at, inode, at + len(raw)))
        at += len(raw)
    return found


def _lines_of(data: bytes) -> list[bytes]:
    parts = data.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _numbers(folder: Path, task: str, stream: str) -> list[int]:
    head = f"{task}.{stream}."
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name[len(head) :]) for name in names if name.startswith(head) and name[len(head) :].isdigit())


def streams_in(folder: Path) -> set[tuple[str, str]]:
    """(task, stream) of every log file in a folder."""
    found: set[tuple[str, str]] = set()
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        head, _, number = name.rpartition(".")
        task, _, stream = head.rpartition(".")
        if number.isdigit() and stream in {"stdout", "stderr"} and task:
            found.add((task, stream))
    return found
