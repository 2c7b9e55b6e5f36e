"""Nodes as columns."""

from __future__ import annotations

from collections.abc import Callable

from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.job import TaskGroup
from kokiris.orchestrator.model.node import Node

GroupOf = Callable[[Alloc], TaskGroup | None]
"""The group an allocation runs, from its job version; None when that version is gone."""


class Cluster:
    """All nodes in NumPy columns, with what is used on each; an `AllocObserver` of `State`.

    Add it to `state.observers` before `state.load`. Wire-up: `Cluster(lambda alloc: group_of_job(state.job_of(alloc),
    alloc.TaskGroup))`, ready-made as `Cluster.following(state)`.
    """

    def __init__(self, group_of: GroupOf) -> None:
        self.group_of = group_of

    def alloc_changed(self, before: Alloc | None, after: Alloc | None) -> None:
        """Follows one allocation."""
        raise NotImplementedError

    def node_changed(self, before: Node | None, after: Node | None) -> None:
        """Follows one node."""
        raise NotImplementedError
