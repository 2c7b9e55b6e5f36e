"""Whether anything may come in: the disk's room, the limit of bytes, and what the indexing thread ran into."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kokiris.logs.index.retention import Limits, refusal

log = logging.getLogger(__name__)

CHECK_S = 2.0
LARGE_BYTES = 1 << 20
"""So much at once is judged by itself, not by the last look at the disk."""


class Room:
    """Of the folder of an index. `today_bytes` gives the size of today's index. Any thread may ask; none waits."""

    def __init__(self, folder: Path, limits: Limits, today_bytes: Callable[[], int]) -> None:
        self._folder = folder
        self.limits = limits
        self._today_bytes = today_bytes
        self._checked_s = -1e9
        self._refusal = ""
        self._trouble = ""

    def refusal(self, incoming_bytes: int = 0, *, now: bool = False) -> str:
        """Why nothing may come in; "" when it may. The disk is looked at every two seconds, or `now`."""
        if now or time.monotonic() - self._checked_s > CHECK_S or incoming_bytes > LARGE_BYTES:
            self._checked_s = time.monotonic()
            usage = shutil.disk_usage(self._folder)
            found = refusal(
                free_bytes=usage.free,
                disk_bytes=usage.total,
                limits=self.limits,
                today_bytes=self._today_bytes() if self.limits.size_bytes else 0,
                incoming_bytes=incoming_bytes,
            )
            self._tell(self._refusal, found)
            self._refusal = found
        return self._trouble or self._refusal

    def trouble(self, reason: str) -> None:
        """What keeps entries from being written, until it is "" again."""
        self._tell(self._trouble, reason)
        self._trouble = reason

    def _tell(self, before: str, after: str) -> None:
        if after and not before:
            log.error("log ingest stops: %s", after)
        elif before and not after:
            log.info("log ingest goes on")


def unwritable(folder: Path, size_bytes: int) -> str:
    """Why so many bytes cannot be written in `folder` now; "" when they can."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".room-") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size_bytes))
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""
