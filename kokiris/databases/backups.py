"""Backups on disk: a compressed dump and its description, both written whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from kokiris.databases.dumpsummary import DumpSummary
from kokiris.databases.model import Backup, DatabaseError, TableContent
from kokiris.kernel.errors import HostError, NotFound
from kokiris.kernel.files import write_secret

CHUNK_BYTES = 256 * 1024
_GZIP = 31
_SUFFIX = ".sql.gz"


class BackupFolder:
    """`<folder>/<database>/<UTC time>.sql.gz` and `….json`, readable by root only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, database: str, dump: AsyncIterator[bytes], now_ns: int) -> Backup:
        """Returns when all of `dump` is durable. Whatever `dump` raises leaves no file. Raises HostError."""
        folder = self._folder / database
        moment = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        target = folder / f"{moment}Z{_SUFFIX}"
        partial = folder / f".{target.name}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _Writing.forget_partials(folder)
            writing = _Writing(partial)
            try:
                async for chunk in dump:
                    await asyncio.to_thread(writing.add, chunk)
                await asyncio.to_thread(writing.finish)
            except BaseException:
                writing.abandon()
                raise
            backup = writing.described(target.name, now_ns)
            write_secret(_description(target), msgspec.json.encode(backup))
            partial.replace(target)
            await asyncio.to_thread(_sync_folder, folder)
        except OSError as error:
            raise HostError(f"the backup of {database} cannot be written: {error.strerror}") from error
        return backup

    def all(self, database: str) -> Sequence[Backup]:
        """Whole ones, oldest first."""
        found = []
        for path in sorted((self._folder / database).glob(f"[0-9]*{_SUFFIX}")):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                found.append(msgspec.json.decode(_description(path).read_bytes(), type=Backup))
        return found

    def find(self, database: str, file: str = "") -> Backup:
        """The one named, or the newest. Raises NotFound."""
        backups = self.all(database)
        chosen = [one for one in backups if not file or one.File == file]
        if not chosen:
            raise NotFound(
                f'database "{database}" has no backup{f" {file[:60]}" if file else ""}',
                next_step=f"Make one: kokiris db backup {database}.",
            )
        return chosen[-1]

    async def verify(self, database: str, backup: Backup) -> None:
        """Raises DatabaseError unless the file is what was written."""
        digest = hashlib.sha256()
        path = self._folder / database / backup.File
        try:
            with path.open("rb") as file:
                while block := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    digest.update(block)
        except OSError as error:
            raise DatabaseError(f"backup {backup.File} cannot be read: {error.strerror}") from error
        if digest.hexdigest() != backup.SHA256:
            raise DatabaseError(
                f"backup {backup.File} is damaged: its digest is not the one it was written with",
                next_step="Make a new backup now, and check the disk.",
            )

    async def read(self, database: str, backup: Backup) -> AsyncGenerator[bytes]:
        """The dump. Raises DatabaseError when it does not decompress to its end."""
        inflate = zlib.decompressobj(_GZIP)
        try:
            with (self._folder / database / backup.File).open("rb") as file:
                while block := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    text = await asyncio.to_thread(inflate.decompress, block)
                    for start in range(0, len(text), CHUNK_BYTES):
                        yield text[start : start + CHUNK_BYTES]
        except (OSError, zlib.error) as error:
            raise DatabaseError(f"backup {backup.File} cannot be read: {error}") from error
        if not inflate.eof:
            raise DatabaseError(f"backup {backup.File} ends too early")

    async def line(self, database: str, backup: Backup, number: int) -> bytes:
        """That line of the dump (1-based), at least its first bytes; b"" beyond the end. Raises as `read`."""
        to_skip, found = number - 1, b""
        async with contextlib.aclosing(self.read(database, backup)) as dump:
            async for chunk in dump:
                ends = chunk.count(b"\n")
                if ends < to_skip:
                    to_skip -= ends
                    continue
                found += chunk.split(b"\n", to_skip)[-1]
                to_skip = 0
                if b"\n" in found or len(found) > CHUNK_BYTES:
                    break
        return found.partition(b"\n")[0]

    def prune(self, database: str, keep: int) -> list[str]:
        """Deletes all but the newest `keep`; the names deleted."""
        gone = self.all(database)[: -keep or None] if keep > 0 else []
        for one in gone:
            self.forget(database, one)
        return [one.File for one in gone]

    def forget(self, database: str, backup: Backup) -> None:
        """Deletes one. Idempotent."""
        path = self._folder / database / backup.File
        path.unlink(missing_ok=True)
        _description(path).unlink(missing_ok=True)


class _Writing:
    """A file that grows; digest and content's description grow with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        self._digest = hashlib.sha256()
        self._summary = DumpSummary()
        self._size_bytes = 0

    def add(self, chunk: bytes) -> None:
        self._summary.feed(chunk)
        self._put(self._deflate.compress(chunk))

    def _put(self, packed: bytes) -> None:
        self._file.write(packed)
        self._digest.update(packed)
        self._size_bytes += len(packed)

    def finish(self) -> None:
        self._put(self._deflate.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def described(self, name: str, now_ns: int) -> Backup:
        tables: dict[str, TableContent] = self._summary.tables()
        return Backup(File=name, At=now_ns, SizeBytes=self._size_bytes, SHA256=self._digest.hexdigest(), Tables=tables)

    @staticmethod
    def forget_partials(folder: Path) -> None:
        """What a killed server left of an unfinished one."""
        for path in folder.glob(f".*{_SUFFIX}.*"):
            if not path.name.endswith(f".{os.getpid()}"):
                path.unlink(missing_ok=True)


def _description(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_SUFFIX) + ".json")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
