"""Listening sockets outlive their process, and come back out of another one."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from kokiris.agent.sockets import open_listeners, take_listeners
from kokiris.kernel.errors import HostError

HOLDER = """
import socket, sys
one = socket.create_server(("127.0.0.1", 0)); two = socket.create_server(("127.0.0.1", 0))
print(one.getsockname()[1], two.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_sockets_are_taken_out_of_the_process_that_holds_them() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        one, two = map(int, holder.stdout.readline().split())
        taken = take_listeners(holder.pid, [("127.0.0.1", two), ("127.0.0.1", one)])
        assert taken is not None
        assert take_listeners(holder.pid, [("127.0.0.1", 1)]) is None
        holder.kill()
    for listener, port in zip(taken, (two, one), strict=True):
        with listener, socket.create_connection(("127.0.0.1", port), 5):
            accepted, _ = listener.accept()
            accepted.close()


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(HostError, match=f"127.0.0.1:{port}"):
            open_listeners([("127.0.0.1", port)])


def test_nobody_to_take_from() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert take_listeners(gone.pid, [("127.0.0.1", 80)]) is None
