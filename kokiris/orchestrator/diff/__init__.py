"""What changes between two versions of a job, as a plan shows it."""

from kokiris.orchestrator.diff.annotations import annotate
from kokiris.orchestrator.diff.compare import job_diff
from kokiris.orchestrator.diff.model import FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff
from kokiris.orchestrator.diff.render import render_diff

__all__ = [
    "FieldDiff",
    "JobDiff",
    "ObjectDiff",
    "TaskDiff",
    "TaskGroupDiff",
    "annotate",
    "job_diff",
    "render_diff",
]
