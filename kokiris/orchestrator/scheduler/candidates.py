"""The nodes a group may go to, and what each is worth now; follows the placements of one `place` call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.policy import Constraint
from kokiris.orchestrator.scheduler import ranking
from kokiris.orchestrator.scheduler.ask import Ask
from kokiris.orchestrator.scheduler.columns import CPU, MEMORY, Column
from kokiris.orchestrator.scheduler.constraints import Mask, describe
from kokiris.orchestrator.scheduler.draft import Draft
from kokiris.orchestrator.scheduler.feasibility import FILTER_DISTINCT_HOSTS, Feasible, constraints_of, fitting_nodes
from kokiris.orchestrator.scheduler.ranking import UNIT, SpreadScore


class DistinctProperty:
    """At most `limit` allocations for each value of a node attribute. Nodes without the attribute are out."""

    def __init__(self, values: Sequence[str | None], constraint: Constraint) -> None:
        self.reason = describe(constraint)
        self.limit = int(constraint.RTarget) if constraint.RTarget.isdigit() else 1
        self._values = values
        self._used: Counter[str] = Counter()

    def count(self, row: int, sign: int) -> None:
        value = self._values[row]
        if value is not None:
            self._used[value] += sign

    def allowed(self) -> Mask:
        return np.array(
            [value is not None and self._used[value] < self.limit for value in self._values], dtype=np.bool_
        )


class Candidates:
    """Feasible nodes of one group with everything that scoring needs.

    Mutable by design, for the length of one `place` call: `book`, `leave` and `stay` keep the draft, the collisions,
    the spread and the distinct rules in step.
    """

    def __init__(
        self,
        draft: Draft,
        job: Job,
        group: TaskGroup,
        *,
        ask: Ask,
        feasible: Feasible,
        staying: Sequence[Alloc],
        placed_before: Sequence[tuple[int, str]] = (),
        spread_algorithm: bool = False,
    ) -> None:
        self.draft, self.job, self.group, self.ask, self.feasible = draft, job, group, ask, feasible
        self.spread_algorithm = spread_algorithm
        row_of = draft.cluster.row_of
        homes = [(row_of[alloc.NodeID], alloc.TaskGroup) for alloc in staying if alloc.NodeID in row_of]
        homes.extend(placed_before)
        own_rows = [row for row, name in homes if name == group.Name]
        self.collisions: Column = np.bincount(own_rows, minlength=draft.rows).astype(np.int64)
        """Allocations of the group per row."""
        self.affinity = ranking.affinity_column(draft.cluster, job, group)
        self.spread = SpreadScore(draft.cluster, job, group, own_rows)
        self.once_per_node = bool(ask.static_ports)
        """Whether a node that has got one is out for the rest of this call."""
        self._hosts: Column | None = None
        self._properties: list[tuple[DistinctProperty, bool]] = []
        self._distinct(homes, own_rows)

    def _distinct(self, homes: Sequence[tuple[int, str]], own_rows: Sequence[int]) -> None:
        job_wide = list(self.job.Constraints or ())
        for constraint in constraints_of(self.job, self.group):
            whole_job = any(constraint is one for one in job_wide)
            rows = [row for row, _ in homes] if whole_job else own_rows
            if constraint.Operand == "distinct_hosts" and constraint.RTarget.lower() != "false":
                self.once_per_node = True
                taken = np.bincount(rows, minlength=self.draft.rows).astype(np.int64)
                self._hosts = taken if self._hosts is None else np.maximum(self._hosts, taken)
            elif constraint.Operand == "distinct_property":
                rule = DistinctProperty(self.draft.cluster.attributes.values(constraint.LTarget), constraint)
                for row in rows:
                    rule.count(row, 1)
                self._properties.append((rule, whole_job))

    @property
    def has_distinct_property(self) -> bool:
        return bool(self._properties)

    def distinct_rules(self) -> list[tuple[str, Mask]]:
        """(reason, nodes it still allows) of each distinct rule."""
        rules = [(FILTER_DISTINCT_HOSTS, self._hosts == 0)] if self._hosts is not None else []
        return rules + [(rule.reason, rule.allowed()) for rule, _ in self._properties]

    def allowed(self) -> Mask:
        """Feasible nodes that the distinct rules still allow."""
        mask = self.feasible.mask
        for _, allowed in self.distinct_rules():
            mask = mask & allowed
        return mask

    def fitting(self, inherited: Mapping[int, Sequence[int]] | None = None) -> Mask:
        """Allowed nodes with room for one more now."""
        return fitting_nodes(self.draft, self.allowed(), self.ask, inherited or {})

    def averages(self, avoid: frozenset[str] = frozenset()) -> Column:
        """The comparable score of every row (also of those that are out)."""
        total, components = self.local_scores()
        spread = np.array(self.spread.scores, dtype=np.int64)[self.spread.place_of]
        total += spread
        components += spread != 0
        for node_id in avoid:
            row = self.draft.cluster.row_of.get(node_id)
            if row is not None:
                total[row] -= UNIT
                components[row] += 1
        return np.asarray(total * (ranking.COMMON // components), dtype=np.int64)

    def local_scores(self) -> tuple[Column, Column]:
        """(sum, number) of the components that depend on the node alone: binpack, anti-affinity, affinity."""
        draft, ask = self.draft, self.ask
        total = ranking.fitness_column(
            draft.used[CPU] + ask.cpu_mhz,
            draft.used[MEMORY] + ask.memory_mb,
            draft.capacity[CPU],
            draft.capacity[MEMORY],
            spread=self.spread_algorithm,
        )
        crowded = self.collisions > 0
        total -= np.where(crowded, (self.collisions + 1) * UNIT // max(self.group.Count, 1), 0)
        total += self.affinity
        return total, 1 + crowded.astype(np.int64) + (self.affinity != 0)

    # ---- changes -----------------------------------------------------------------------------------------------

    def book(self, row: int, inherited: Sequence[int] = ()) -> list[int]:
        """One more allocation of the group on `row`; its host ports."""
        self._count(row, 1, own=True)
        self.spread.placed(int(self.spread.place_of[row]))
        return self.draft.take(row, self.ask, inherited)

    def book_many(self, rows: Sequence[int]) -> list[list[int]]:
        """`book` for many at once, where the spread has been told of each already."""
        if not rows:
            return []
        counts = np.bincount(rows, minlength=self.draft.rows)
        self.collisions += counts
        if self._hosts is not None:
            self._hosts += counts
        for rule, _ in self._properties:
            for row in rows:
                rule.count(row, 1)
        return self.draft.take_many(rows, self.ask)

    def leave(self, alloc: Alloc) -> None:
        """Counts `alloc` (one of `staying`) as stopped."""
        self._move(alloc, -1)
        self.draft.release(alloc)

    def stay(self, alloc: Alloc) -> None:
        """Takes `leave` back."""
        self._move(alloc, 1)
        self.draft.restore(alloc)

    def _move(self, alloc: Alloc, sign: int) -> None:
        row = self.draft.cluster.row_of.get(alloc.NodeID)
        if row is None:
            return
        own = alloc.TaskGroup == self.group.Name
        self._count(row, sign, own=own)
        if own:
            self.spread.placed(int(self.spread.place_of[row]), sign)

    def _count(self, row: int, sign: int, *, own: bool) -> None:
        if own:
            self.collisions[row] += sign
        if self._hosts is not None:
            self._hosts[row] += sign
        for rule, whole_job in self._properties:
            if own or whole_job:
                rule.count(row, sign)

    def inherited(self, replaced: Alloc | None) -> dict[int, Sequence[int]]:
        """Row → host ports a replacement of `replaced` may take over there: those that it alone still holds."""
        row = None if replaced is None else self.draft.cluster.row_of.get(replaced.NodeID)
        if replaced is None or row is None or replaced.client_terminal():
            return {}
        ports = self.draft.cluster.ports[row]
        return {row: [port for port in replaced.ports().values() if ports.holders_of(port) == 1]}
