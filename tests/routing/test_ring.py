"""The stream of a ring, cut into lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kokiris.routing.haproxy.live import finished, worker_of
from kokiris.routing.haproxy.ring import LineSplitter

LONGEST = 8


def whole(stream: bytes) -> list[bytes]:
    *lines, _ = stream.split(b"\n")
    return [line[:LONGEST] for line in lines if line]


@given(st.lists(st.one_of(st.binary(max_size=20), st.just(b"\n"), st.just(b"a\n\nb"))))
def test_lines_are_the_same_however_the_stream_is_split(pieces: list[bytes]) -> None:
    splitter = LineSplitter(LONGEST)
    assert [line for piece in pieces for line in splitter.feed(piece)] == whole(b"".join(pieces))


def test_a_line_without_end_is_not_kept_whole() -> None:
    splitter = LineSplitter(LONGEST)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) == []
    assert splitter.feed(b"\nnext\n") == [b"x" * LONGEST, b"next"]


def test_who_takes_connections_and_who_is_finished() -> None:
    processes = (
        "#<PID>          <type>          <reloads>       <uptime>\n20419           master          1 [failed: 0]\n"
        "# workers\n21029           worker          0\n# old workers\n20446           worker          1\n# programs\n\n"
    )
    assert worker_of(processes) == 21029
    assert worker_of(processes.replace("21029           worker          0\n", "")) == 0
    assert worker_of("") == 0
    info = "Name: HAProxy\nPid: 20446\nCurrConns: 0\nStopping: 1\nnode: \n"
    assert finished(info)
    assert not finished(info.replace("CurrConns: 0", "CurrConns: 1"))
    assert not finished(info.replace("Stopping: 1", "Stopping: 0"))
    assert not finished("Can't find the target PID matching the prefix '@!1'\n")
