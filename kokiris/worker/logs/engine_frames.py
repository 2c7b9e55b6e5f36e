"""Docker's log stream: frames, timestamps, and from where to go on after an interruption. Pure.

A frame is `[stream, 0, 0, 0, length (4 bytes, big endian)]` and a payload; asked for timestamps, each payload starts
with RFC 3339 nanoseconds and a space. With a terminal there are no frames, only lines, each with its timestamp.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from kokiris.kernel.clock import parse_rfc3339_ns

_STREAM_NAMES = {0: "stdout", 1: "stdout", 2: "stderr"}
RESUME_SLACK_NS = 60_000_000_000
"""How long docker may take, at most, between stamping an entry and storing it: a silent stream is read again from so
long before the other's last entry, not from the beginning of time."""


class StreamPosition(msgspec.Struct, kw_only=True):
    """Up to where one stream has been copied: entries with an older stamp, and `seen` ones stamped `last_ns`."""

    last_ns: int = 0
    seen: int = 0
    index: int = 0
    """Log file…"""
    offset: int = 0
    """…and its length, when all of those were in it."""


class Positions(msgspec.Struct, kw_only=True):
    """Of both streams of one attempt."""

    container_id: str = ""
    stdout: StreamPosition = msgspec.field(default_factory=StreamPosition)
    stderr: StreamPosition = msgspec.field(default_factory=StreamPosition)


class FrameParser:
    """Bytes as they come in, complete payloads out."""

    def __init__(self, *, tty: bool) -> None:
        self._tty = tty
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """("stdout" or "stderr", payload with its timestamp) for each entry that is complete."""
        self._pending += data
        return self._lines() if self._tty else self._frames()

    def rest(self) -> bytes:
        """What has come of an incomplete entry."""
        return self._pending

    def _frames(self) -> Iterator[tuple[str, bytes]]:
        buffer, at = self._pending, 0
        while len(buffer) - at >= 8:
            end = at + 8 + int.from_bytes(buffer[at + 4 : at + 8], "big")
            if end > len(buffer):
                break
            yield _STREAM_NAMES.get(buffer[at], "stdout"), buffer[at + 8 : end]
            at = end
        self._pending = buffer[at:]

    def _lines(self) -> Iterator[tuple[str, bytes]]:
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            yield "stdout", line + b"\n"


def stamped(payload: bytes) -> tuple[int, bytes]:
    """(unix ns, text) of a payload; 0 when it has no readable timestamp."""
    stamp, space, text = payload.partition(b" ")
    if not space:
        return 0, payload
    try:
        return parse_rfc3339_ns(stamp.decode("ascii")), text
    except ValueError:
        return 0, payload


def is_new(resumed_ns: int, resumed_seen: int, stamp_ns: int, met: int) -> bool:
    """Whether an entry has not been copied yet. `resumed_*`: the position at the resumption; `met`: how many entries
    of that very stamp have come since, this one included."""
    return stamp_ns > resumed_ns or (stamp_ns == resumed_ns and met > resumed_seen)


def advance(position: StreamPosition, stamp_ns: int) -> None:
    """One more entry has been copied."""
    if stamp_ns == position.last_ns:
        position.seen += 1
    else:
        position.last_ns, position.seen = stamp_ns, 1


def resume_from_ns(positions: Positions) -> int:
    """The `since` to ask docker for: nothing that was not copied lies before it."""
    oldest = min(positions.stdout.last_ns, positions.stderr.last_ns)
    newest = max(positions.stdout.last_ns, positions.stderr.last_ns)
    return max(oldest, newest - RESUME_SLACK_NS, 0)


def since_parameter(unix_ns: int) -> str:
    """As docker reads it: seconds, a dot, nine digits."""
    seconds, nanos = divmod(unix_ns, 1_000_000_000)
    return f"{seconds}.{nanos:09d}"
