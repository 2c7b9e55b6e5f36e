"""The best nodes for many equal allocations, without scoring every node for every allocation.

A placement changes the node-local part of the chosen node only, and the spread part of whole "places" (combinations of
spread values). So keep a heap per (place, number of local components), ordered by the sum of the local components: the
order inside a heap never depends on the spread, and the best node is the best of the heaps' tops. Of the nodes not yet
chosen, those beyond the best `count` of a heap can never be reached, hence the partition first. Exact, because scores
are whole numbers (`ranking`).
"""

from __future__ import annotations

import heapq

import numpy as np

from kokiris.orchestrator.scheduler import ranking
from kokiris.orchestrator.scheduler.candidates import Candidates
from kokiris.orchestrator.scheduler.columns import Column
from kokiris.orchestrator.scheduler.constraints import Mask

WORTHWHILE = 4
"""Below so many allocations the set-up costs more than it saves."""
_MAX_PLACES = 64
_ROW_BITS = 20
_ROW_MASK = (1 << _ROW_BITS) - 1

Heaps = dict[tuple[int, int], list[int]]
"""(place, local components) → heap of `row - (local sum << 20)`: best sum first, then lowest row."""


def applicable(candidates: Candidates) -> bool:
    """Whether the placements of one node leave the others' local parts alone and places are few."""
    few = candidates.spread.places <= _MAX_PLACES and candidates.draft.rows <= _ROW_MASK
    return few and not candidates.has_distinct_property


def choose(candidates: Candidates, fits: Mask, count: int) -> list[tuple[int, list[int]]]:
    """Books up to `count` allocations; (row, host ports) of each, in order. Fewer when nothing fits any more."""
    heaps = _fill(candidates, fits, count)
    rooms: dict[int, _Room] = {}
    spread = candidates.spread
    rows: list[int] = []
    while len(rows) < count:
        best = _best(heaps, spread.scores)
        if best is None:
            break
        row = heapq.heappop(heaps[best]) & _ROW_MASK
        rows.append(row)
        spread.placed(best[0])
        if candidates.once_per_node:
            continue
        room = rooms.get(row) or rooms.setdefault(row, _Room(candidates, row))
        local = room.after_one_more()
        if local is not None:
            heapq.heappush(heaps.setdefault((best[0], room.components), []), row - (local << _ROW_BITS))
    return list(zip(rows, candidates.book_many(rows), strict=True))


class _Room:
    """What is left on one chosen node: plain integers, since reading single cells of columns is slow."""

    __slots__ = ("_affinity", "_ask", "_collisions", "_count", "_free", "_has", "_ports", "_spread", "components")

    def __init__(self, candidates: Candidates, row: int) -> None:
        draft = candidates.draft
        used, self._has = draft.used[:, row].tolist(), draft.capacity[:, row].tolist()
        self._free = [has - taken for has, taken in zip(self._has, used, strict=True)]
        ask = candidates.ask
        self._ask = (ask.cpu_mhz, ask.memory_mb, ask.disk_mb, len(ask.dynamic_labels))
        self._ports = int(draft.free_dynamic[row])
        self._affinity = int(candidates.affinity[row])
        self._collisions = int(candidates.collisions[row])
        self._count = candidates.group.Count
        self._spread = candidates.spread_algorithm
        self.components = 3 if self._affinity else 2
        """Binpack and anti-affinity, and the affinity if it says anything here."""

    def after_one_more(self) -> int | None:
        """Takes one allocation off; the local sum that yet another one would have, None when it would not fit."""
        cpu, memory, disk, ports = self._ask
        free = self._free
        free[0] -= cpu
        free[1] -= memory
        free[2] -= disk
        self._ports -= ports
        self._collisions += 1
        if free[0] < cpu or free[1] < memory or free[2] < disk or self._ports < ports:
            return None
        fitness = ranking.fitness(free[0] - cpu, free[1] - memory, self._has[0], self._has[1], spread=self._spread)
        return fitness + self._affinity + ranking.anti_affinity(self._collisions, self._count)


def _fill(candidates: Candidates, fits: Mask, count: int) -> Heaps:
    total, components = candidates.local_scores()
    rows = np.flatnonzero(fits)
    keys: Column = rows - (total[rows] << _ROW_BITS)
    bucket: Column = candidates.spread.place_of[rows] * 8 + components[rows]
    heaps: Heaps = {}
    for number in np.unique(bucket).tolist():
        members = keys[bucket == number]
        if len(members) > count:
            members = np.partition(members, count - 1)[:count]
        members.sort()  # a sorted list is a heap
        heaps[divmod(number, 8)] = members.tolist()
    return heaps


def _best(heaps: Heaps, spread_scores: list[int]) -> tuple[int, int] | None:
    best: tuple[int, int] | None = None
    best_average = best_row = 0
    for bucket, heap in heaps.items():
        if not heap:
            continue
        top = heap[0]
        spread = spread_scores[bucket[0]]
        total = spread - (top >> _ROW_BITS)
        row = top & _ROW_MASK
        average = total * (ranking.COMMON // (bucket[1] + 1 if spread else bucket[1]))
        if best is None or average > best_average or (average == best_average and row < best_row):
            best, best_average, best_row = bucket, average, row
    return best
