"""The job language as this API uses it."""

from __future__ import annotations

from collections.abc import Mapping

from kokiris.orchestrator import diff, jobspec
from kokiris.orchestrator.diff import JobDiff
from kokiris.orchestrator.model.evaluation import Annotations
from kokiris.orchestrator.model.job import Job

SUBMITTED_NAME = "job.hcl"
"""What errors call a source that came without a file name."""


def parse(source: str, variables: str) -> Mapping[str, object]:
    """Raw API JSON of HCL text; `variables` is the text of a variables file. Never reads a file of this machine."""
    var_files = [("variables.hcl", variables)] if variables else []
    return jobspec.parse_hcl(source, filename=SUBMITTED_NAME, var_files=var_files)


def canonical(raw: Mapping[str, object], namespace: str) -> Job:
    """The canonical job; `namespace` "" keeps its own. Raises BadInput naming the field that does not fit."""
    return jobspec.canonical(raw, namespace=namespace or None)


def job_diff(old: Job | None, new: Job | None) -> JobDiff:
    """What changes between two versions, with the unchanged fields of what changes."""
    return diff.job_diff(old, new, contextual=True)


def annotated_diff(old: Job | None, new: Job, annotations: Annotations) -> JobDiff:
    """As `job_diff`, with what a plan would do about it."""
    return diff.annotate(diff.job_diff(old, new, contextual=True), annotations)
