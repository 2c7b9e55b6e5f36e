"""The stream of a file as Nomad's clients read it: concatenated JSON objects. Pure."""

from __future__ import annotations

import msgspec

HEARTBEAT = b"{}"
DELETED, TRUNCATED = "file deleted", "file truncated"


class StreamFrame(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`Data` is base64 on the wire; `Offset` is that of its first byte in `File`."""

    File: str = ""
    Offset: int = 0
    Data: bytes = b""
    FileEvent: str = ""


def encode(frame: StreamFrame) -> bytes:
    """One object, without a separator."""
    return msgspec.json.encode(frame)


def start_position(sizes: list[int], origin: str, offset: int) -> tuple[int, int]:
    """(which file, offset in it) where a read over concatenated files begins.

    `origin` "start": `offset` from the beginning; "end": `offset` back from the end. Out of range is clamped.
    """
    total = sum(sizes)
    wanted = max(0, total - offset) if origin == "end" else min(max(0, offset), total)
    for number, size in enumerate(sizes):
        if wanted < size or number == len(sizes) - 1:
            return number, min(wanted, size)
        wanted -= size
    return 0, 0
