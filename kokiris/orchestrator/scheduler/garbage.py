"""What is over and old enough to be forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kokiris.kernel.ids import id_at
from kokiris.kernel.units import HOUR_NS
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.alloc import Alloc, PlanSegment
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.scheduler.sorting import ACTIVE, is_current
from kokiris.orchestrator.state import JobKey, State

KEPT_VERSIONS = 6
_OVER = frozenset({"complete", "failed", "canceled"})


@dataclass(frozen=True, slots=True)
class Ages:
    """How old, in ns, something must be after its end."""

    evals_ns: int = HOUR_NS
    """Also of allocations."""
    batch_evals_ns: int = 24 * HOUR_NS
    jobs_ns: int = 4 * HOUR_NS
    deployments_ns: int = HOUR_NS
    nodes_ns: int = 24 * HOUR_NS


FORCED = Ages(0, 0, 0, 0, 0)
"""`system gc`: whatever is over."""


@dataclass(slots=True)
class Garbage:
    """What can go."""

    segments: list[bytes] = field(default_factory=list)
    """Keys."""
    allocs: list[str] = field(default_factory=list)
    evals: list[str] = field(default_factory=list)
    deployments: list[str] = field(default_factory=list)
    jobs: list[JobKey] = field(default_factory=list)
    versions: list[tuple[str, str, int]] = field(default_factory=list)
    """(namespace, job id, version)."""
    nodes: list[str] = field(default_factory=list)

    def deletes(self, keys: Keys) -> list[bytes]:
        """All keys to delete."""
        found = list(self.segments)
        for alloc_id in self.allocs:
            found += [keys.alloc_desired(alloc_id), keys.alloc_client(alloc_id)]
        found += [keys.evaluation(one) for one in self.evals]
        found += [keys.deployment(one) for one in self.deployments]
        found += [keys.job(*one) for one in self.jobs]
        for version in self.versions:
            found += [keys.job_version(*version), keys.submission(*version)]
        for node_id in self.nodes:
            found += [keys.node(node_id), keys.node_secret(node_id)]
        return found


def collect(state: State, now_ns: int, ages: Ages = Ages()) -> Garbage:
    """Everything that can be forgotten now.

    A segment goes as a whole, when each of its allocations is over and nothing will be decided from it any more; an
    evaluation not before its segments, a job not before its allocations, a version not while an allocation runs it.
    """
    garbage = Garbage()
    for stored, segment in state.segments.items():
        allocs = _rows(state, segment)
        if all(_collectable(state, alloc, now_ns, ages) for alloc in allocs):
            garbage.segments.append(stored)
            garbage.allocs += [alloc.ID for alloc in allocs]
    gone = set(garbage.segments)
    _evals(state, garbage, gone, now_ns, ages)
    dropped = set(garbage.allocs)
    remaining = [alloc for alloc in state.allocs.values() if alloc.ID not in dropped]
    _deployments(state, garbage, remaining, now_ns, ages)
    _jobs(state, garbage, remaining, now_ns, ages)
    _versions(state, garbage, remaining)
    busy = {alloc.NodeID for alloc in remaining if not alloc.client_terminal()}
    for node in state.nodes.values():
        if node.Status == "down" and node.ID not in busy and now_ns - node.StatusUpdatedAt * 10**9 >= ages.nodes_ns:
            garbage.nodes.append(node.ID)
    return garbage


def _rows(state: State, segment: PlanSegment) -> list[Alloc]:
    ids = [id_at(segment.AllocIDs, row) for row in range(segment.rows())]
    return [state.allocs[one] for one in ids if one in state.allocs]


def ended_ns(alloc: Alloc) -> int:
    """When anything last happened to it."""
    times = [alloc.Segment.CreateTime]
    times += [part.ModifyTime for part in (alloc.Desired, alloc.Client) if part is not None]
    return max(times)


def _collectable(state: State, alloc: Alloc, now_ns: int, ages: Ages) -> bool:
    """Whether it is over and the scheduler would decide the same without it.

    A failed allocation that is still wanted carries its attempts; a finished one of a live batch job is what keeps the
    work from being done again.
    """
    job = state.job(alloc.Namespace, alloc.JobID)
    age_ns = ages.batch_evals_ns if job is not None and job.Type in {"batch", "sysbatch"} else ages.evals_ns
    if now_ns - ended_ns(alloc) < age_ns:
        return False
    if not alloc.client_terminal() and not (alloc.DesiredStatus != "run" and alloc.NodeID not in state.nodes):
        return False
    if job is None or job.Stop or alloc.DesiredStatus != "run":
        return True
    return job.Type in {"batch", "sysbatch"} and (not is_current(alloc, job) or _dead(state, job, now_ns, ages))


def _dead(state: State, job: Job, now_ns: int, ages: Ages) -> bool:
    """Whether nothing of the job runs or will: it is stopped, or a batch job that has done its work."""
    if job.Periodic is not None or (job.ParameterizedJob is not None and not job.Dispatched):
        return job.Stop
    evals = state.evals_of_job(job.Namespace, job.ID)
    if any(one.Status not in _OVER for one in evals):
        return False
    allocs = state.allocs_of_job(job.Namespace, job.ID)
    if any(not alloc.client_terminal() and alloc.NodeID in state.nodes for alloc in allocs):
        return False
    last_ns = max([job.SubmitTime, *(ended_ns(alloc) for alloc in allocs), *(one.ModifyTime for one in evals)])
    finished = job.Stop or (job.Type in {"batch", "sysbatch"} and bool(evals))
    return finished and now_ns - last_ns >= ages.jobs_ns


def _evals(state: State, garbage: Garbage, gone: set[bytes], now_ns: int, ages: Ages) -> None:
    kept = {segment.EvalID for stored, segment in state.segments.items() if stored not in gone}
    for one in state.evals.values():
        age_ns = ages.batch_evals_ns if one.Type in {"batch", "sysbatch"} else ages.evals_ns
        if one.Status in _OVER and one.ID not in kept and now_ns - one.ModifyTime >= age_ns:
            garbage.evals.append(one.ID)


def _deployments(state: State, garbage: Garbage, remaining: Iterable[Alloc], now_ns: int, ages: Ages) -> None:
    used = {alloc.DeploymentID for alloc in remaining if not alloc.terminal()}
    for one in state.deployments.values():
        if one.Status not in ACTIVE and one.ID not in used and now_ns - one.ModifyTime >= ages.deployments_ns:
            garbage.deployments.append(one.ID)


def _jobs(state: State, garbage: Garbage, remaining: Sequence[Alloc], now_ns: int, ages: Ages) -> None:
    used = {(alloc.Namespace, alloc.JobID) for alloc in remaining}
    for name, job in state.jobs.items():
        if name not in used and _dead(state, job, now_ns, ages):
            garbage.jobs.append(name)


def _versions(state: State, garbage: Garbage, remaining: Iterable[Alloc]) -> None:
    """Versions of forgotten jobs, and all but the newest few (tagged ones and those that run are kept)."""
    used = {(alloc.Namespace, alloc.JobID, alloc.JobVersion) for alloc in remaining}
    dropped = set(garbage.jobs)
    for name, versions in state.versions.items():
        if name in dropped or name not in state.jobs:
            excess = sorted(versions)
        else:
            newest = state.jobs[name].Version
            stable = max([one.Version for one in versions.values() if one.Stable], default=newest)
            untagged = [number for number in sorted(versions) if versions[number].VersionTag is None]
            excess = [number for number in untagged[:-KEPT_VERSIONS] if number not in {newest, stable}]
        garbage.versions += [(*name, number) for number in excess if (*name, number) not in used]
