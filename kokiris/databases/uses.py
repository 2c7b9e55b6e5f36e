"""Which jobs use a database, and which namespaces there are for its variable. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from kokiris.orchestrator.model.job import Job
from kokiris.variables.model import named_databases


class Cluster(Protocol):
    """The part of the orchestrator's state needed here."""

    @property
    def jobs(self) -> Mapping[tuple[str, str], Job]: ...

    @property
    def namespaces(self) -> Mapping[str, Any]: ...


def jobs_using(database: str, namespace: str, jobs: Iterable[Job]) -> list[str]:
    """Ids of the jobs of that namespace, not stopped, that name the database in the meta of job, group or task."""
    return sorted(
        job.ID
        for job in jobs
        if job.Namespace == namespace and not job.Stop and database in named_databases(_metas(job))
    )


def _metas(job: Job) -> Iterator[Mapping[str, str] | None]:
    yield job.Meta
    for group in job.TaskGroups or ():
        yield group.Meta
        for task in group.Tasks or ():
            yield task.Meta
