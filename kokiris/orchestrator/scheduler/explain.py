"""Why something was or was not placed: metrics for programs, one sentence for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.metric import AllocationMetric, NodeScoreMeta
from kokiris.orchestrator.model.resources import TaskResources
from kokiris.orchestrator.scheduler import feasibility, ranking
from kokiris.orchestrator.scheduler.ask import Ask, ask_of
from kokiris.orchestrator.scheduler.candidates import Candidates
from kokiris.orchestrator.scheduler.constraints import Mask
from kokiris.orchestrator.scheduler.feasibility import exhausted_dimension

_TOP = 5
"""Nodes whose scores are kept."""


def placement_metric(candidates: Candidates, fits: Mask) -> AllocationMetric:
    """What was looked at for a placement, with the scores of the best few nodes at that moment."""
    metric = _base_metric(candidates)
    averages = candidates.averages()
    rows = np.flatnonzero(fits)
    if len(rows) > _TOP:
        rows = rows[np.argpartition(-averages[rows], _TOP - 1)[:_TOP]]
    ordered = sorted(rows.tolist(), key=lambda row: (-int(averages[row]), row))
    local, _ = candidates.local_scores()
    metric.ScoreMetaData = [_score_meta(candidates, row, int(local[row]), int(averages[row])) for row in ordered]
    return metric


def failure_metric(candidates: Candidates, inherited: Mapping[int, Sequence[int]]) -> AllocationMetric:
    """Why one allocation of the group fits nowhere now."""
    metric = _base_metric(candidates)
    exhausted: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    for row in np.flatnonzero(candidates.allowed()).tolist():
        dimension = exhausted_dimension(candidates.draft, row, candidates.ask, inherited.get(row, ()))
        node = candidates.draft.cluster.nodes[row]
        if dimension is not None and node is not None:
            exhausted[dimension] += 1
            classes.update([node.NodeClass] if node.NodeClass else [])
    metric.NodesExhausted = exhausted.total()
    metric.DimensionExhausted = dict(exhausted) or None
    metric.ClassExhausted = dict(classes) or None
    if {"cpu", "memory"} & set(exhausted):
        metric.ResourcesExhausted = {
            task.Name: TaskResources(CPU=task.Resources.CPU, MemoryMB=task.Resources.MemoryMB)
            for task in candidates.group.Tasks or ()
            if task.Resources is not None
        }
    return metric


def _base_metric(candidates: Candidates) -> AllocationMetric:
    feasible = candidates.feasible
    reasons, filtered, mask = Counter(feasible.by_reason), feasible.filtered, feasible.mask
    for reason, allowed in candidates.distinct_rules():
        refused = int((mask & ~allowed).sum())
        if refused:
            reasons[reason] += refused
            filtered += refused
            mask = mask & allowed
    return AllocationMetric(
        NodesEvaluated=feasible.evaluated,
        NodesFiltered=filtered,
        NodesInPool=feasible.in_pool,
        NodePool=candidates.job.NodePool or "default",
        NodesAvailable=feasible.available,
        ClassFiltered=dict(feasible.by_class) or None,
        ConstraintFiltered=dict(reasons) or None,
    )


def _score_meta(candidates: Candidates, row: int, local: int, average: int) -> NodeScoreMeta:
    node = candidates.draft.cluster.nodes[row]
    collisions, affinity = int(candidates.collisions[row]), int(candidates.affinity[row])
    anti = ranking.anti_affinity(collisions, candidates.group.Count) if collisions else 0
    parts = {
        "binpack": local - anti - affinity,
        "job-anti-affinity": anti,
        "node-affinity": affinity,
        "allocation-spread": candidates.spread.scores[int(candidates.spread.place_of[row])],
    }
    scores = {name: round(part / ranking.UNIT, 6) for name, part in parts.items() if part or name == "binpack"}
    return NodeScoreMeta(NodeID=node.ID if node else "", Scores=scores, NormScore=ranking.as_score(average))


# ---- in words --------------------------------------------------------------------------------------------------

_FILTER_WORDS = {
    feasibility.FILTER_VOLUMES: ("lacks", "lack", "a host volume the group asks for"),
    feasibility.FILTER_CSI: ("cannot", "cannot", "serve CSI volumes, which are not supported"),
    feasibility.FILTER_DEVICES: ("lacks", "lack", "a device the group asks for"),
    feasibility.FILTER_NETWORK: ("lacks", "lack", "the CNI network the group asks for"),
    feasibility.FILTER_HOST_NETWORK: ("lacks", "lack", "the host network its ports name"),
    feasibility.FILTER_DISTINCT_HOSTS: ("already runs", "already run", "one, and distinct_hosts allows one per node"),
}
"""Reason → verb for one node, verb for several, the rest."""


def explain(metric: AllocationMetric, group: TaskGroup, job: Job) -> str:
    """One sentence saying why allocations of `group` were not placed; it names what stands in the way.

    `metric` is what `Evaluation.FailedTGAllocs` holds for the group.
    """
    waiting = metric.CoalescedFailures + 1
    subject = f"Group {group.Name!r} of job {job.ID!r}: {waiting} allocation{'s' if waiting > 1 else ''} not placed: "
    if not metric.NodesEvaluated:
        return subject + _no_nodes(metric, job)
    ask = ask_of(group)
    counts = [*(metric.ConstraintFiltered or {}).items(), *(metric.DimensionExhausted or {}).items()]
    reasons = [_filter_words(reason, count, group) for reason, count in (metric.ConstraintFiltered or {}).items()]
    reasons += [_dimension_words(name, count, ask) for name, count in (metric.DimensionExhausted or {}).items()]
    if not counts:
        return subject + f"none of {_nodes(metric.NodesEvaluated)} has room."
    return subject + f"of {_nodes(metric.NodesEvaluated)}, {'; '.join(reasons)}."


def _no_nodes(metric: AllocationMetric, job: Job) -> str:
    where = f"datacenters {', '.join(job.Datacenters or ['*'])} and node pool {job.NodePool or 'default'!r}"
    if not metric.NodesInPool:
        return f"no node is in node pool {job.NodePool or 'default'!r} (the job asks for {where})."
    return f"no node in {where} is ready and eligible ({_nodes(metric.NodesInPool)} in the pool)."


def _filter_words(reason: str, count: int, group: TaskGroup) -> str:
    if reason == feasibility.FILTER_DRIVERS:
        drivers = ", ".join(sorted({task.Driver for task in group.Tasks or ()}))
        return f"{count} {_verb(count, 'lacks', 'lack')} a healthy driver {drivers}"
    if reason in _FILTER_WORDS:
        one, several, rest = _FILTER_WORDS[reason]
        return f"{count} {_verb(count, one, several)} {rest}"
    return f"{count} {_verb(count, 'does', 'do')} not meet the constraint {reason!r}"


def _dimension_words(name: str, count: int, ask: Ask) -> str:
    collision = "network: reserved port collision "
    if name.startswith(collision):
        label, _, port = name.removeprefix(collision).partition("=")
        return f"on {count} the static port {port} (label {label!r}) is already taken"
    has = _verb(count, "has", "have")
    if name == feasibility.PORTS_EXHAUSTED:
        return f"{count} {has} fewer than {len(ask.dynamic_labels)} dynamic ports free"
    amounts = {"cpu": f"{ask.cpu_mhz} MHz CPU", "memory": f"{ask.memory_mb} MB memory"}
    amounts["disk"] = f"{ask.disk_mb} MB disk"
    return f"{count} {has} less than {amounts.get(name, name)} free"


def _verb(count: int, one: str, several: str) -> str:
    return one if count == 1 else several


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"
