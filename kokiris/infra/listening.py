"""Which ports of this machine are taken, and by whom: asked before anything is changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening TCP socket. `pid` 0 when its owner could not be found (another namespace, a dead race)."""

    address: str
    port: int
    pid: int
    program: str


def parse_proc_net(text: str) -> list[tuple[str, int, int]]:
    """(address, port, inode) of the listening sockets in the text of /proc/net/tcp or tcp6. Pure."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            found.append((_address(address), int(port, 16), int(fields[9])))
    return found


def _address(digits: str) -> str:
    """The kernel writes each 32-bit word in the machine's (little-endian) order."""
    words = [bytes.fromhex(digits[start : start + 8])[::-1] for start in range(0, len(digits), 8)]
    packed = b"".join(words)
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))


def listeners(proc: Path = Path("/proc")) -> list[Listener]:
    """All listening TCP sockets of this network namespace."""
    sockets: list[tuple[str, int, int]] = []
    for name in ("tcp", "tcp6"):
        table = proc / "net" / name
        if table.exists():
            sockets += parse_proc_net(table.read_text())
    owners = _owners(proc, {inode for _, _, inode in sockets})
    return [Listener(address, port, *owners.get(inode, (0, "unknown"))) for address, port, inode in sockets]


def _owners(proc: Path, inodes: set[int]) -> dict[int, tuple[int, str]]:
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, tuple[int, str]] = {}
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        for target in _open_files(process):
            if target in wanted:
                owners[wanted[target]] = (int(process.name), _program(process))
    return owners


def _open_files(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # the process may end meanwhile, or close what we look at
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(link.readlink())


def _program(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "unknown"


def conflicts(wanted: Sequence[tuple[str, int]], present: Sequence[Listener]) -> list[Listener]:
    """Who stands in the way of listening on `wanted` (address, port) pairs. Pure."""
    taken = []
    for address, port in wanted:
        for listener in present:
            if listener.port == port and _overlap(address, listener.address):
                taken.append(listener)
                break
    return taken


def _overlap(one: str, other: str) -> bool:
    first, second = ip_address(one), ip_address(other)
    if first.is_unspecified or second.is_unspecified:
        return True
    mapped = second.ipv4_mapped if isinstance(second, IPv6Address) else None
    return first == (mapped or second)
