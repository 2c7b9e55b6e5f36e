"""Host ports of one node: which are taken, and which is handed out next."""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterable

from kokiris.orchestrator.model.node import Node

FIRST_DYNAMIC, LAST_DYNAMIC = 20_000, 32_000


class NodePorts:
    """Counts a port may be held by more than once (a replacement beside the one it replaces, for a moment).

    Dynamic ports are handed out round the range, so that one that has just been given back rests as long as possible:
    proxies and clients may still know its former owner.
    """

    __slots__ = ("_dynamic", "_other", "cursor", "first", "free_dynamic", "last", "reserved")

    def __init__(self, first: int, last: int, reserved: frozenset[int], start: int = 0) -> None:
        self.first, self.last, self.reserved = first, last, reserved
        self.cursor = first
        """Where the search for the next dynamic port starts."""
        self._dynamic: bytearray | None = None  # made with the first port: an empty node costs nothing
        self._other: dict[int, int] = {}
        self.free_dynamic = last - first + 1
        for port in reserved:
            self.count(port, 1)
        self.cursor = start or first

    def count(self, port: int, sign: int) -> None:
        """One holder more (1) or less (-1)."""
        if not self.first <= port <= self.last:
            holders = self._other.get(port, 0) + sign
            if holders > 0:
                self._other[port] = holders
            else:
                self._other.pop(port, None)
            return
        if self._dynamic is None:
            self._dynamic = bytearray(self.last - self.first + 1)
        position = port - self.first
        holders = max(0, self._dynamic[position] + sign)
        if sign > 0 and holders == 1:
            self.free_dynamic -= 1
            self.cursor = port + 1 if port < self.last else self.first
        elif sign < 0 and holders == 0 and self._dynamic[position]:
            self.free_dynamic += 1
        self._dynamic[position] = min(holders, 255)

    def holders_of(self, port: int) -> int:
        """How many hold it; the node's own reservation counts as one."""
        if self.first <= port <= self.last:
            return 0 if self._dynamic is None else self._dynamic[port - self.first]
        return self._other.get(port, 0)

    def is_taken(self, port: int) -> bool:
        """Whether somebody holds it or the node reserves it."""
        return self.holders_of(port) > 0

    def next_free(self, start: int, also_taken: Container[int]) -> int | None:
        """The first free dynamic port from `start` on, round the range; None when there is none."""
        for low, high in ((start, self.last), (self.first, start - 1)):
            port = low
            while port <= high:
                if self._dynamic is not None:
                    found = self._dynamic.find(0, port - self.first, high - self.first + 1)
                    if found < 0:
                        break
                    port = found + self.first
                if port not in also_taken:
                    return port
                port += 1
        return None

    def holders(self) -> Iterable[tuple[int, int]]:
        """(port, how many hold it)."""
        yield from self._other.items()
        for position, held in enumerate(self._dynamic or b""):
            if held:
                yield position + self.first, held

    def moved(self, first: int, last: int, reserved: frozenset[int]) -> NodePorts:
        """The same holders under another range and other reserved ports."""
        changed = NodePorts(first, last, reserved)
        for port, held in self.holders():
            for _ in range(held - (port in self.reserved)):
                changed.count(port, 1)
        return changed


def port_range(node: Node) -> tuple[int, int]:
    """First and last dynamic port of the node."""
    has = node.NodeResources
    first, last = (has.MinDynamicPort, has.MaxDynamicPort) if has is not None else (0, 0)
    if not 0 < first <= last <= 65_535:
        return FIRST_DYNAMIC, LAST_DYNAMIC
    return first, last


def starting_port(node: Node) -> int:
    """The first dynamic port that the node hands out: another for each node, so that infras that share a machine, and
    know nothing of each other's ports, do not all begin with the same."""
    first, last = port_range(node)
    return first + zlib.crc32(node.ID.encode()) % (last - first + 1)


def reserved_ports(node: Node) -> frozenset[int]:
    """The host ports the node keeps for itself, from `"22,80,8500-8600"`. What does not parse reserves nothing."""
    networks = node.ReservedResources.Networks if node.ReservedResources is not None else None
    found: set[int] = set()
    for part in str((networks or {}).get("ReservedHostPorts") or "").split(","):
        low, _, high = part.strip().partition("-")
        if low.isdigit() and (not high or high.isdigit()):
            found.update(range(int(low), min(int(high or low), 65_535) + 1))
    return frozenset(found)
