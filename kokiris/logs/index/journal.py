"""The journal: what is acknowledged before it is indexed. Files of JSON lines, synced; removed once indexed.

One writer. A line that a crash has cut off was never acknowledged and is dropped by `replay`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{12})\.ndjson")


class Record(msgspec.Struct, array_like=True, gc=False):
    """One document: its number, when it came (unix µs), its own id ("" without one), and the document as JSON."""

    sequence: int
    received_us: int
    identifier: str
    source: msgspec.Raw


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class Journal:
    """Files `<number>.ndjson` in `folder`. `rotate` begins a new one; older ones are removed by `forget`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._number = max(self._numbers(), default=0)
        self._descriptor = -1
        self.size_bytes = sum(self._path(number).stat().st_size for number in self._numbers())

    def replay(self) -> Iterator[Record]:
        """Everything that is not forgotten, in order."""
        for number in self._numbers():
            with self._path(number).open("rb") as file:
                for line in file:
                    try:
                        yield _decoder.decode(line)
                    except msgspec.MsgspecError:
                        log.warning("journal %012d: dropped %d bytes of an unfinished line", number, len(line))

    def append(self, records: Sequence[Record]) -> None:
        """Durable when it returns; not written at all when it raises OSError (disk full)."""
        if self._descriptor < 0:
            self.rotate()
        data = _encoder.encode_lines(records)
        before = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fdatasync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise
        self.size_bytes += len(data)

    def rotate(self) -> int:
        """Begins a new file; the number of the last one before it, to be forgotten once all it holds is indexed."""
        last = self._number
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._number += 1
        self._descriptor = os.open(
            self._path(self._number), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._sync_folder()
        return last

    def forget(self, number: int) -> None:
        """Removes the files up to `number`."""
        for old in self._numbers():
            if old <= number:
                size = self._path(old).stat().st_size
                self._path(old).unlink(missing_ok=True)
                self.size_bytes -= size

    def clear(self) -> None:
        """Removes all files, before the first `append`."""
        self.forget(self._number)

    def close(self) -> None:
        """Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _numbers(self) -> list[int]:
        return sorted(int(match[1]) for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name)))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.ndjson"

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
