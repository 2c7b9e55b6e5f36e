"""Who listens where: the kernel's tables, read and compared."""

from __future__ import annotations

import os
import socket

import pytest

from kokiris.infra.listening import Listener, conflicts, listeners, parse_proc_net

HEAD = "  sl  local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode\n"
QUEUES = "00000000:00000000 00:00000000 00000000     0        0"
TCP = (
    HEAD
    + f"   0: 0100007F:1F90 00000000:0000 0A {QUEUES} 12345 1 0 100 0 0 10 0\n"
    + f"   1: 0100007F:1F91 0100007F:9999 01 {QUEUES} 12346 1 0 100 0 0 10 0\n"
)
ANY6 = "0" * 32
TCP6 = (
    HEAD
    + f"   0: {ANY6}:0050 {ANY6}:0000 0A {QUEUES} 777 1 0 100 0 0 10 0\n"
    + f"   1: 0000000000000000FFFF00000100007F:0051 {ANY6}:0000 0A {QUEUES} 778 1 0 100 0 0 10 0\n"
)


def test_only_listening_sockets_are_read() -> None:
    assert parse_proc_net(TCP) == [("127.0.0.1", 8080, 12345)]
    assert parse_proc_net(TCP6) == [("::", 80, 777), ("::ffff:7f00:1", 81, 778)]


@pytest.mark.parametrize(
    ("wanted", "listening", "clash"),
    [
        (("127.0.0.1", 80), "127.0.0.1", True),
        (("127.0.0.1", 80), "0.0.0.0", True),
        (("0.0.0.0", 80), "127.0.0.1", True),
        (("127.0.0.1", 80), "::", True),
        (("127.0.0.1", 80), "::ffff:127.0.0.1", True),
        (("127.0.0.1", 80), "127.0.0.2", False),
        (("127.0.0.1", 80), "::1", False),
        (("127.0.0.1", 81), "127.0.0.1", False),
    ],
)
def test_conflicts(wanted: tuple[str, int], listening: str, clash: bool) -> None:
    present = Listener(listening, 80, 42, "nginx")
    assert conflicts([wanted], [present]) == ([present] if clash else [])


def test_a_real_listener_is_found_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [one for one in listeners() if one.port == port and one.address == "127.0.0.1"]
    assert [one.pid for one in found] == [os.getpid()]
