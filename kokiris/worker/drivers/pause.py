"""The pause container: holds the network namespace that the tasks of a group share, and does nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import io
import shutil
import tarfile
from pathlib import Path

from kokiris.kernel.errors import HostError
from kokiris.worker.drivers.engine import Engine

REPOSITORY = "kokiris/pause"
_INTERPRETER = 3
"""ELF program header type of a dynamically linked program."""


class PauseImage:
    """Made on this node from Debian's busybox-static; tagged by its content, so that it is made once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._making = asyncio.Lock()

    async def reference(self) -> str:
        """The image's name; makes it when it is absent. Raises HostError without a static busybox."""
        async with self._making:
            binary = await asyncio.to_thread(_static_busybox)
            reference = f"{REPOSITORY}:{hashlib.sha256(binary).hexdigest()[:12]}"
            if not await self._engine.has_image(reference):
                await self._engine.import_image(reference, await asyncio.to_thread(_tar, binary))
            return reference


def _static_busybox() -> bytes:
    path = shutil.which("busybox", path="/bin:/usr/bin:/usr/local/bin")
    if path is None or _is_dynamic(content := Path(path).read_bytes()):
        raise HostError(
            "groups of several tasks in bridge mode need a statically linked busybox on the node",
            next_step="Install it: apt-get install busybox-static",
        )
    return content


def _is_dynamic(elf: bytes) -> bool:
    """Whether a 64-bit little-endian ELF names an interpreter."""
    start, size, count = (
        int.from_bytes(elf[32:40], "little"),
        int.from_bytes(elf[54:56], "little"),
        int.from_bytes(elf[56:58], "little"),
    )
    return any(int.from_bytes(elf[start + i * size :][:4], "little") == _INTERPRETER for i in range(count))


def _tar(binary: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(binary), 0o755
        tar.addfile(entry, io.BytesIO(binary))
        link = tarfile.TarInfo("sleep")
        link.type, link.linkname = tarfile.SYMTYPE, "pause"
        tar.addfile(link)
    return packed.getvalue()
