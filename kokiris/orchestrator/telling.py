"""Which of a task's events says why the task is not well. Pure, over what the API answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TELLING_EVENTS = frozenset(
    {"Driver Failure", "Setup Failure", "Failed Validation", "Terminated", "Sibling Task Failed", "Task hook failed"}
)


def telling_event(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """The newest one of a task's state; None when none tells."""
    events = [event for event in state.get("Events") or [] if event.get("Type") in TELLING_EVENTS]
    return events[-1] if events else None
