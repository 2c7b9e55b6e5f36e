"""Files that are never half written and never readable by the wrong people."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replaces `path` in one step: a reader, or a crash, sees the old content or the new, never a part.

    The file has `mode` from its first byte on. Its folder is made 0700 when it does not exist.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_secret(path: Path, data: bytes) -> None:
    """As `write_atomic`, readable by its owner only (0600)."""
    write_atomic(path, data, mode=0o600)
