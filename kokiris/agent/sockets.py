"""The VIP's listening sockets: opened by the agent and handed to HAProxy, so that they outlive it.

While HAProxy restarts, the kernel queues new connections on the open sockets instead of refusing them. After the agent
itself was killed, the next one takes the sockets back out of the running HAProxy (`pidfd_getfd`, Linux 5.6).
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Sequence

from kokiris.kernel.errors import HostError

_SYS_PIDFD_GETFD = 438
"""The same number on every architecture."""

BACKLOG = 4096
FIRST_FD = 100
"""HAProxy finds its sockets at fixed numbers (100 web, 101 websecure…), so that its configuration never changes."""


def open_listeners(addresses: Sequence[tuple[str, int]]) -> list[socket.socket]:
    """One listening socket per (address, port). Raises HostError naming the one that is taken."""
    opened = []
    for address, port in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            raise HostError(f"cannot listen on {address}:{port}: {error.strerror}") from error
        listener.listen(BACKLOG)
        opened.append(listener)
    return opened


def take_listeners(pid: int, addresses: Sequence[tuple[str, int]]) -> list[socket.socket] | None:
    """Copies of the listening sockets that process `pid` holds for `addresses`; None when it does not hold them all."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        held = _listening_sockets(pid, pidfd)
    finally:
        os.close(pidfd)
    taken = [held.pop(address, None) for address in addresses]
    for unwanted in held.values():
        unwanted.close()
    found = [one for one in taken if one is not None]
    if len(found) == len(addresses):
        return found
    for one in found:
        one.close()
    return None


def at_fixed_numbers(listeners: Sequence[socket.socket]) -> list[socket.socket]:
    """The same sockets at descriptors FIRST_FD, FIRST_FD + 1…; the given ones are closed."""
    moved = []
    for offset, listener in enumerate(listeners):
        os.dup2(listener.fileno(), FIRST_FD + offset, inheritable=True)
        listener.close()
        moved.append(socket.socket(fileno=FIRST_FD + offset))
    return moved


def _listening_sockets(pid: int, pidfd: int) -> dict[tuple[str, int], socket.socket]:
    held: dict[tuple[str, int], socket.socket] = {}
    for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - numbers are wanted, not paths
        try:
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):  # noqa: PTH115 - not a path
                continue
            copy = _pidfd_getfd(pidfd, int(name))
        except OSError:
            continue
        candidate = socket.socket(fileno=copy)
        if candidate.family in {socket.AF_INET, socket.AF_INET6} and candidate.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            address = candidate.getsockname()
            double = held.pop((address[0], address[1]), None)
            if double is not None:
                double.close()
            held[(address[0], address[1])] = candidate
        else:
            candidate.close()
    return held


def _pidfd_getfd(pidfd: int, descriptor: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    copy = int(libc.syscall(_SYS_PIDFD_GETFD, pidfd, descriptor, 0))
    if copy < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return copy
