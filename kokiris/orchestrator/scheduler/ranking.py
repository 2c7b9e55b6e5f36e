"""Scores of nodes, in whole nano-units so that every way of computing them gives exactly the same order.

Nomad's components (nomad.md, 3.1 item 4), each roughly -1 … 1, of which the present ones are averaged:

* `binpack`: 20 - 10^free_cpu - 10^free_memory, clipped to 0 … 18, over 18; the "spread" algorithm turns it round;
* `job-anti-affinity`: -(allocations of the group there + 1) / count, once there is one;
* `node-reschedule-penalty`: -1 on nodes where the replaced allocation failed;
* `node-affinity`: weights of the affinities that hold / sum of all absolute weights;
* `allocation-spread`: see `SpreadScore`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.policy import Spread
from kokiris.orchestrator.scheduler.columns import Cluster, Column

UNIT = 1_000_000_000
"""One whole point."""

_STEPS = 100_000
_POWERS: Column = np.rint(10.0 ** (np.arange(_STEPS + 1) / _STEPS) * UNIT).astype(np.int64)
"""10^x for x = 0 … 1 in steps, in nano-units: integer input, integer output, the same in NumPy and in Python."""
_POWER = _POWERS.data
"""The same as plain ints, one at a time: a list of them would be 4 MB."""

COMMON = 60
"""Divisible by every possible number of components (1 … 5): averages stay whole."""


def fitness_column(used_cpu: Column, used_memory: Column, cpu: Column, memory: Column, *, spread: bool) -> Column:
    """`binpack` for all rows, with `used_*` already counting the new allocation."""
    powers = _POWERS[_free_steps(used_cpu, cpu)] + _POWERS[_free_steps(used_memory, memory)]
    score = powers - 2 * UNIT if spread else 20 * UNIT - powers
    return np.asarray(np.clip(score, 0, 18 * UNIT) // 18, dtype=np.int64)


def _free_steps(used: Column, capacity: Column) -> Column:
    free = np.maximum(capacity - used, 0) * _STEPS
    return np.asarray(free // np.maximum(capacity, 1), dtype=np.int64)


def fitness(free_cpu: int, free_memory: int, cpu: int, memory: int, *, spread: bool) -> int:
    """`fitness_column` for one row, from what would be free after the new allocation (0 or more)."""
    powers = _POWER[free_cpu * _STEPS // (cpu or 1)] + _POWER[free_memory * _STEPS // (memory or 1)]
    score = powers - 2 * UNIT if spread else 20 * UNIT - powers
    return (0 if score < 0 else min(score, 18 * UNIT)) // 18


def anti_affinity(collisions: int, desired: int) -> int:
    """The component for a node that already runs `collisions` (> 0) allocations of the group."""
    return -((collisions + 1) * UNIT // max(desired, 1))


def average(total: int, components: int) -> int:
    """Comparable mean of `components` components that sum to `total` (in sixtieths of a nano-unit)."""
    return total * (COMMON // components)


def as_score(average_value: int) -> float:
    """A mean as people see it."""
    return round(average_value / (COMMON * UNIT), 6)


def affinity_column(cluster: Cluster, job: Job, group: TaskGroup) -> Column:
    """`node-affinity` for all rows; 0 means absent."""
    affinities = [*(job.Affinities or ()), *(group.Affinities or ())]
    for task in group.Tasks or ():
        affinities.extend(task.Affinities or ())
    weights = sum(abs(affinity.Weight) for affinity in affinities)
    total: Column = np.zeros(cluster.rows, dtype=np.int64)
    for affinity in affinities:
        total += affinity.Weight * cluster.attributes.mask(affinity).astype(np.int64)
    return total * UNIT // weights if weights else total


class SpreadScore:
    """`allocation-spread` of a group: per combination of attribute values ("place"), changing with each placement.

    With targets: (desired - used - 1) / desired of the node's value, times the spread's share of all weights. Without:
    how far the value is below (or above) the least used one, as in Nomad. A node without the attribute, or with a value
    nobody asked for, gets -1. Values with a desired count of 0 get -1 too.
    """

    def __init__(self, cluster: Cluster, job: Job, group: TaskGroup, used_rows: Sequence[int]) -> None:
        """`used_rows`: the row of each allocation of the group that stays."""
        self._spreads = [*(group.Spreads or ()), *(job.Spreads or ())]
        self._weights = sum(abs(one.Weight) for one in self._spreads) or 1
        self._desired = [_desired_counts(one, group.Count) for one in self._spreads]
        self._used: list[Counter[str]] = [Counter() for _ in self._spreads]
        places = cluster.attributes.places(tuple(one.Attribute for one in self._spreads))
        self.place_of: Column = places.of_row
        """Row → place."""
        self._places = places.combinations
        for row in used_rows:
            self._count(int(self.place_of[row]), 1)
        self._parts = [self._part(index) for index in range(len(self._spreads))]
        """Spread → value → its part of the score."""
        self.scores: list[int] = self._sums()
        """Place → component; 0 means absent."""

    @property
    def places(self) -> int:
        return len(self._places)

    def placed(self, place: int, sign: int = 1) -> None:
        """Counts a placement there (-1: one less) and brings `scores` up to date."""
        if not self._spreads:
            return
        self._count(place, sign)
        for index, value in enumerate(self._places[place]):
            if self._desired[index] is None:
                self._parts[index] = self._part(index)
            else:  # only the value itself has changed
                self._parts[index][value] = self._score(index, value, 0, 0)
        self.scores = self._sums()

    def _count(self, place: int, sign: int) -> None:
        for used, value in zip(self._used, self._places[place], strict=True):
            if value is not None:
                used[value] += sign
                if not used[value]:
                    del used[value]

    def _sums(self) -> list[int]:
        if len(self._parts) == 1:
            part = self._parts[0]
            return [part[value] for (value,) in self._places]
        return [sum(part[value] for part, value in zip(self._parts, place, strict=True)) for place in self._places]

    def _part(self, index: int) -> dict[str | None, int]:
        used = self._used[index]
        least, most = (min(used.values()), max(used.values())) if used else (0, 0)
        return {value: self._score(index, value, least, most) for value in {place[index] for place in self._places}}

    def _score(self, index: int, value: str | None, least: int, most: int) -> int:
        used, desired = self._used[index], self._desired[index]
        score = _even(used, value, least, most) if desired is None else _targeted(used, value, desired)
        return score if score == -UNIT else score * abs(self._spreads[index].Weight) // self._weights


def _desired_counts(spread: Spread, count: int) -> dict[str, int] | None:
    """Value → desired count in hundredths of an allocation; "*" is everything not named. None: no targets."""
    if not spread.SpreadTarget:
        return None
    desired = {target.Value: target.Percent * count for target in spread.SpreadTarget}
    rest = 100 * count - sum(desired.values())
    return desired | {"*": rest} if rest > 0 and "*" not in desired else desired


def _targeted(used: Counter[str], value: str | None, desired: dict[str, int]) -> int:
    wanted = desired.get(value, desired.get("*", 0)) if value is not None else 0
    if wanted <= 0 or value is None:
        return -UNIT
    return (wanted - 100 * (used[value] + 1)) * UNIT // wanted


def _even(used: Counter[str], value: str | None, least: int, most: int) -> int:
    if not used:
        return 0
    if value is None:
        return -UNIT
    here = used[value]
    if here != least:
        return (least - here) * UNIT // least
    if least == most:
        return -UNIT
    return (most - least) * UNIT // least
