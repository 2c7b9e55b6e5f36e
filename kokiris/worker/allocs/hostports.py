"""Whether the host ports an allocation got are free on this machine: the servers know of their own infra's only."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from kokiris.orchestrator.model.allocwire import PortMapping


def taken_ports(ports: Iterable[PortMapping]) -> list[PortMapping]:
    """Those that somebody else holds now, for TCP or for UDP."""
    return [port for port in ports if any(_is_taken(port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))]


def _is_taken(port: PortMapping, kind: socket.SocketKind) -> bool:
    address = port.HostIP or "0.0.0.0"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:  # connections that have ended do not count; with UDP, it would share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port.Value))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
