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
from kokiris.orchestrator.scheduler.columns import CPU, MEMORY, Column
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
    chosen: list[tuple[int, list[int]]] = []
    while len(chosen) < count:
        best = _best(heaps, candidates.spread.scores)
        if best is None:
            break
        row = heapq.heappop(heaps[best]) & _ROW_MASK
        chosen.append((row, candidates.book(row)))
        if not candidates.once_per_node and _fits_again(candidates, row):
            total, components = _local(candidates, row)
            heapq.heappush(heaps.setdefault((best[0], components), []), row - (total << _ROW_BITS))
    return chosen


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


def _fits_again(candidates: Candidates, row: int) -> bool:
    draft, ask = candidates.draft, candidates.ask
    cpu, memory, disk = draft.used[:, row].tolist()
    has_cpu, has_memory, has_disk = draft.capacity[:, row].tolist()
    return bool(
        cpu + ask.cpu_mhz <= has_cpu
        and memory + ask.memory_mb <= has_memory
        and disk + ask.disk_mb <= has_disk
        and draft.free_dynamic[row] >= len(ask.dynamic_labels)
    )


def _local(candidates: Candidates, row: int) -> tuple[int, int]:
    draft, ask = candidates.draft, candidates.ask
    total = ranking.fitness(
        int(draft.used[CPU, row]) + ask.cpu_mhz,
        int(draft.used[MEMORY, row]) + ask.memory_mb,
        int(draft.capacity[CPU, row]),
        int(draft.capacity[MEMORY, row]),
        spread=candidates.spread_algorithm,
    )
    affinity = int(candidates.affinity[row])
    total += affinity + ranking.anti_affinity(int(candidates.collisions[row]), candidates.group.Count)
    return total, 2 + (affinity != 0)
