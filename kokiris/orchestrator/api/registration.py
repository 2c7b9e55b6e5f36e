"""What a submitted job goes through before it reaches the orchestrator: validation, warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kokiris.kernel.errors import NotSupported
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.jobspec import multi_error, unsupported, validate, warnings
from kokiris.orchestrator.model.job import Job

CHANGE_THE_JOB = "Change or remove each of these in the job; docs/compatibility.md lists what is acted on."


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a job. `job` is its canonical form."""

    job: Job
    errors: list[str]
    unsupported: list[str]
    warnings: str


def findings(call: Call, job: Job) -> Findings:
    """Everything wrong with a canonical job, found without refusing it."""
    errors = list(validate(job))
    if not _has_namespace(call, job):
        errors.append(f'job "{job.ID}" is in nonexistent namespace "{job.Namespace}"')
    hints = [*warnings(job), *call.context.tag_warnings(job)]
    return Findings(job, errors, list(unsupported(job)), multi_warning(hints))


def checked_job(call: Call, job: Job) -> tuple[Job, str]:
    """The job and its warnings.

    Raises NotSupported naming what this version does not act on, Refused (500) with Nomad's multi-error text when it is
    invalid. The first comes first: much is invalid only because of what cannot be acted on, a port that a task's own
    network would have, tasks that a gateway would bring. Nothing is ignored in silence.
    """
    found = findings(call, job)
    if found.unsupported:
        listed = "\n".join(f"* {one}" for one in found.unsupported)
        raise NotSupported(f"not supported by this version:\n{listed}", next_step=CHANGE_THE_JOB)
    if found.errors:
        raise Refused(multi_error(found.errors), next_step=_step_after(call, job))
    return found.job, found.warnings


def _step_after(call: Call, job: Job) -> str:
    if not _has_namespace(call, job):
        return f"Correct the job, or make its namespace: `kokiris namespace apply {job.Namespace}`."
    return "Correct the job; `kokiris job validate` checks it again."


def _has_namespace(call: Call, job: Job) -> bool:
    return job.Namespace == "default" or job.Namespace in call.state.namespaces


def multi_warning(hints: Sequence[str]) -> str:
    """Several warnings in one text; "" without any."""
    if not hints:
        return ""
    return f"{len(hints)} warning(s):\n\n" + "\n".join(f"* {hint}" for hint in hints)
