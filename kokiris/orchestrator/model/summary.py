"""Counts of a job's allocations."""

from __future__ import annotations

import msgspec


class TaskGroupSummary(msgspec.Struct, kw_only=True):
    """Allocations of one group by client status; `Queued` are wanted and not placed."""

    Queued: int = 0
    Complete: int = 0
    Failed: int = 0
    Running: int = 0
    Starting: int = 0
    Lost: int = 0
    Unknown: int = 0


class JobChildrenSummary(msgspec.Struct, kw_only=True):
    """Children of a periodic or parameterized job, by status."""

    Pending: int = 0
    Running: int = 0
    Dead: int = 0


class JobSummary(msgspec.Struct, kw_only=True):
    """Counts of a job's allocations per group."""

    JobID: str = ""
    Namespace: str = ""
    Summary: dict[str, TaskGroupSummary] | None = None
    Children: JobChildrenSummary | None = None
    CreateIndex: int = 0
    ModifyIndex: int = 0
