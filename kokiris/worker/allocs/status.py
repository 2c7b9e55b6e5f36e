"""An allocation's client status, derived from its tasks. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from kokiris.orchestrator.model.allocwire import TaskState

TERMINAL = frozenset({"complete", "failed", "lost"})

_DESCRIPTIONS = {
    "pending": "No tasks have started",
    "running": "Tasks are running",
    "complete": "All tasks have completed",
    "failed": "Failed tasks",
}


def client_status(states: Mapping[str, TaskState]) -> str:
    """pending, running, complete or failed: failed if any task failed for good, complete if all are dead."""
    if any(state.State == "dead" and state.Failed for state in states.values()):
        return "failed"
    have = {state.State for state in states.values()}
    if "running" in have:
        return "running"
    return "complete" if have == {"dead"} else "pending"


def describe(status: str) -> str:
    """The text clients show next to the status."""
    return _DESCRIPTIONS.get(status, "")
