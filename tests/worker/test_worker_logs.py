"""Log rotation, docker's frames, and going on after an interruption: generated cases."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from kokiris.kernel.clock import rfc3339
from kokiris.worker.logs.engine_frames import (
    FrameParser,
    Positions,
    StreamPosition,
    advance,
    is_new,
    resume_from_ns,
    since_parameter,
    stamped,
)
from kokiris.worker.logs.files import LogLimits, RotatingFile, expired, indexes, log_file, split

CHUNKS = st.lists(st.binary(min_size=0, max_size=40), max_size=30)


@given(size=st.integers(0, 50), chunk=st.binary(max_size=80), limit=st.integers(1, 50))
def test_split_never_overfills_and_always_goes_on(size: int, chunk: bytes, limit: int) -> None:
    part = split(size, chunk, limit)
    assert 0 <= part.here <= len(chunk)
    assert part.rotate or part.here == len(chunk)
    assert size + part.here <= max(limit, size)
    if part.rotate and not part.here:
        assert size > 0  # an empty file always takes something


@given(chunks=CHUNKS, limit=st.integers(4, 64))
@settings(max_examples=60)
def test_rotated_files_are_the_stream(chunks: list[bytes], limit: int) -> None:
    with TemporaryDirectory() as folder:
        file = RotatingFile(Path(folder), "t", "stdout", LogLimits(max_files=10_000, max_file_bytes=limit))
        for chunk in chunks:
            file.write(chunk)
        file.close()
        present = indexes(Path(folder), "t", "stdout")
        contents = [log_file(Path(folder), "t", "stdout", index).read_bytes() for index in present]
        assert b"".join(contents) == b"".join(chunks)
        assert all(len(content) <= limit for content in contents)


def test_only_the_newest_files_stay(tmp_path: Path) -> None:
    assert expired([3, 1, 2], 2) == [1]
    assert expired([1], 0) == []
    file = RotatingFile(tmp_path, "t", "stderr", LogLimits(max_files=2, max_file_bytes=4))
    file.write(b"aaa\nbbb\nccc\n")
    file.close()
    assert indexes(tmp_path, "t", "stderr") == [1, 2] or indexes(tmp_path, "t", "stderr") == [2, 3]


def test_rewinding_forgets_later_files(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path, "t", "stdout", LogLimits(max_file_bytes=4))
    file.write(b"aaa\nbbb\ncc")
    file.rewind_to(0, 2)
    file.write(b"X")
    file.close()
    assert indexes(tmp_path, "t", "stdout") == [0]
    assert log_file(tmp_path, "t", "stdout", 0).read_bytes() == b"aaX"


def test_splice_bookkeeping(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path, "t", "stdout", LogLimits(max_file_bytes=4))
    file.wrote(os.write(file.fileno(), b"abcd"))
    assert (file.index, file.offset) == (1, 0)
    file.close()


def frame(stream: int, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


@given(
    entries=st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=30)), max_size=20), cut=st.integers(1, 17)
)
def test_frames_in_any_pieces(entries: list[tuple[int, bytes]], cut: int) -> None:
    raw = b"".join(frame(stream, payload) for stream, payload in entries)
    parser, found = FrameParser(tty=False), list[tuple[str, bytes]]()
    for at in range(0, len(raw), cut):
        found += parser.feed(raw[at : at + cut])
    assert found == [("stdout" if stream == 1 else "stderr", payload) for stream, payload in entries]
    assert parser.rest() == b""


def test_terminal_lines_and_stamps() -> None:
    parser = FrameParser(tty=True)
    assert list(parser.feed(b"a\nb")) == [("stdout", b"a\n")]
    assert stamped(b"2024-01-01T00:00:00.000000001Z text") == (1704067200000000001, b"text")
    assert stamped(b"no stamp here") == (0, b"no stamp here")
    assert since_parameter(1_000_000_007) == "1.000000007"


Entry = tuple[str, int, bytes]
ENTRIES = st.lists(
    st.tuples(st.sampled_from(["stdout", "stderr"]), st.integers(0, 2), st.binary(min_size=1, max_size=5)), max_size=30
)


@given(raw=ENTRIES, stops=st.lists(st.integers(0, 30), max_size=5))
def test_every_entry_is_copied_exactly_once(raw: list[tuple[str, int, bytes]], stops: list[int]) -> None:
    """Stamps may repeat; the reader is interrupted after any entry and asks again from its position."""
    now, entries = 1_704_067_200_000_000_000, list[Entry]()
    for stream, step, data in raw:
        now += step
        entries.append((stream, now, data))
    positions, copied = Positions(), list[Entry]()
    for stop in [*stops, len(entries)]:
        known: dict[str, StreamPosition] = {"stdout": positions.stdout, "stderr": positions.stderr}
        resumed = {name: (one.last_ns, one.seen) for name, one in known.items()}
        met = dict.fromkeys(known, 0)
        since = resume_from_ns(positions)
        for stream, stamp, data in [entry for entry in entries if entry[1] >= since][:stop]:
            last, seen = resumed[stream]
            met[stream] += stamp == last
            if is_new(last, seen, stamp, met[stream]):
                copied.append((stream, stamp, data))
                advance(known[stream], stamp)
    for name in ("stdout", "stderr"):
        assert [one for one in copied if one[0] == name] == [one for one in entries if one[0] == name]
    assert stamped(rfc3339(now).encode() + b" x") == (now, b"x")
