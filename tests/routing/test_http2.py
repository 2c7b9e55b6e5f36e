"""What the VIP tells HTTP/2 clients when they connect."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any

import pytest

pytestmark = pytest.mark.engine

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)
"""The client's own, with empty settings (RFC 9113)."""
SETTINGS, INITIAL_WINDOW_SIZE = 4, 4


def settings_of(port: int) -> dict[int, int]:
    """The first settings of a server."""
    context = ssl._create_unverified_context()  # noqa: S323 - certificates have their own test
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), 60) as raw, context.wrap_socket(raw) as secure:
        assert secure.selected_alpn_protocol() == "h2"
        secure.sendall(PREFACE)
        with secure.makefile("rb") as reader:
            while True:
                head = reader.read(9)
                body = reader.read(int.from_bytes(head[:3], "big"))
                if head[3] == SETTINGS:
                    return {int(number): int(value) for number, value in struct.iter_unpack(">HI", body)}


async def test_an_upload_may_be_a_megabyte_ahead_as_with_traefik(node: Any, wait_for: Any) -> None:
    """HTTP/2's default of 64 kB makes a `docker push` as slow as the round trip is long: 6 MB/s on loopback (seen)."""
    node.serve_rpc_at(1)
    node.start_haproxy()

    async def settings() -> dict[int, int]:
        try:
            return settings_of(node.https_port)
        except OSError:
            return {}

    told = await wait_for(settings, "HAProxy listens")
    assert told.get(INITIAL_WINDOW_SIZE, 65_535) >= 1024 * 1024
