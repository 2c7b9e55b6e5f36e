"""Ports for programs that are told theirs before they listen: no port is handed out twice in a run, and the kernel,
which gives outgoing connections and listeners without a wish theirs from 32768 on, hands out none of them."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket

_RANGE = range(14_000, 20_000)
_next = itertools.count(random.randrange(len(_RANGE)))  # noqa: S311 - so that runs side by side seldom meet


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    while True:
        port = _RANGE[next(_next) % len(_RANGE)]
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def free_ports(count: int) -> list[int]:
    """Several."""
    return [free_port() for _ in range(count)]
