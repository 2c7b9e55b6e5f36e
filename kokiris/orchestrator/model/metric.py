"""Why something was or was not placed."""

from __future__ import annotations

import msgspec

from kokiris.orchestrator.model.resources import TaskResources


class NodeScoreMeta(msgspec.Struct, kw_only=True):
    """The scores of one candidate node."""

    NodeID: str = ""
    Scores: dict[str, float] | None = None
    NormScore: float = 0.0


class AllocationMetric(msgspec.Struct, kw_only=True):
    """Why a group was or was not placed."""

    NodesEvaluated: int = 0
    NodesFiltered: int = 0
    NodesInPool: int = 0
    NodePool: str = ""
    NodesAvailable: dict[str, int] | None = None
    ClassFiltered: dict[str, int] | None = None
    ConstraintFiltered: dict[str, int] | None = None
    NodesExhausted: int = 0
    ClassExhausted: dict[str, int] | None = None
    DimensionExhausted: dict[str, int] | None = None
    QuotaExhausted: list[str] | None = None
    ResourcesExhausted: dict[str, TaskResources] | None = None
    Scores: dict[str, float] | None = None
    AllocationTime: int = 0
    CoalescedFailures: int = 0
    ScoreMetaData: list[NodeScoreMeta] | None = None
