"""A cluster as it would be with a plan carried out: the evaluation's own scratch copy of what is used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.scheduler.ask import Ask
from kokiris.orchestrator.scheduler.columns import CPU, DISK, MEMORY, Cluster, Column


class Draft:
    """Usage columns copied (microseconds for thousands of nodes), ports as differences. The cluster stays untouched."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        rows = cluster.rows
        self.rows = rows
        self.capacity: Column = cluster.capacity[:, :rows]
        self.used: Column = cluster.used[:, :rows].copy()
        self.free_dynamic: Column = cluster.free_dynamic[:rows].copy()
        self._taken: dict[int, set[int]] = {}
        """Row → ports this plan hands out there."""
        self._cursor: dict[int, int] = {}

    def release(self, alloc: Alloc) -> None:
        """The plan stops `alloc`: its CPU, memory and disk are free, its ports are not (see `Cluster`)."""
        self._weigh(alloc, -1)

    def restore(self, alloc: Alloc) -> None:
        """Takes a `release` back."""
        self._weigh(alloc, 1)

    def _weigh(self, alloc: Alloc, sign: int) -> None:
        row = self.cluster.row_of.get(alloc.NodeID)
        if row is None or alloc.terminal():
            return
        ask = self.cluster.ask_held(alloc)
        self.used[CPU, row] += sign * ask.cpu_mhz
        self.used[MEMORY, row] += sign * ask.memory_mb
        self.used[DISK, row] += sign * ask.disk_mb

    def is_taken(self, row: int, port: int) -> bool:
        """Whether a host port is held there, by what runs or by this plan."""
        return port in self._taken.get(row, ()) or self.cluster.ports[row].is_taken(port)

    def taken_here(self, row: int, port: int) -> bool:
        """Whether this plan itself has handed the port out there."""
        return port in self._taken.get(row, ())

    def take(self, row: int, ask: Ask, inherited: Sequence[int] = ()) -> list[int]:
        """Books one allocation of `ask` on `row` and gives the host ports, in the order of `ask.labels`.

        The caller has checked that it fits; `inherited` ports are those of the allocation it replaces there.
        """
        self.used[CPU, row] += ask.cpu_mhz
        self.used[MEMORY, row] += ask.memory_mb
        self.used[DISK, row] += ask.disk_mb
        if not ask.static_ports and not ask.dynamic_labels:
            return ask.fixed_values
        return self._take_ports(row, ask, inherited)

    def take_many(self, rows: Sequence[int], ask: Ask) -> list[list[int]]:
        """`take` for many allocations at once, in order."""
        counts = np.bincount(rows, minlength=self.rows)
        for dimension, amount in ((CPU, ask.cpu_mhz), (MEMORY, ask.memory_mb), (DISK, ask.disk_mb)):
            self.used[dimension] += counts * amount
        if not ask.static_ports and not ask.dynamic_labels:
            return [ask.fixed_values for _ in rows]
        return [self._take_ports(row, ask, ()) for row in rows]

    def _take_ports(self, row: int, ask: Ask, inherited: Sequence[int]) -> list[int]:
        taken = self._taken.get(row)
        if taken is None:
            taken = self._taken[row] = set()
        for _, port in ask.static_ports:
            self._book(row, port, taken, inherited)
        return ask.fixed_values + [self._dynamic(row, taken) for _ in ask.dynamic_labels]

    def _book(self, row: int, port: int, taken: set[int], inherited: Sequence[int]) -> None:
        ports = self.cluster.ports[row]
        if ports.first <= port <= ports.last and port not in inherited:
            self.free_dynamic[row] -= 1
        taken.add(port)

    def _dynamic(self, row: int, taken: set[int]) -> int:
        ports = self.cluster.ports[row]
        port = ports.next_free(self._cursor.get(row, ports.cursor), taken)
        assert port is not None  # noqa: S101 - feasibility checked `free_dynamic`; this tells the type checker
        taken.add(port)
        self.free_dynamic[row] -= 1
        self._cursor[row] = port + 1 if port < ports.last else ports.first
        return port
