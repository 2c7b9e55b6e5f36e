"""What is wrong with the tags of a job, told before it is deployed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from kokiris.kernel.names import PLATFORM, Addresses
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.service import Service
from kokiris.routing.configuration import Configuration, Platform, configure
from kokiris.routing.model import INTERNAL, CatalogService, Problem
from kokiris.routing.platform import platform_of
from kokiris.routing.tags import read_tags

_INTERPOLATION = re.compile(r"\$\{[^}]*\}")
"""Filled in when an allocation is placed: any word stands for it here."""

_NO_PLATFORM = Platform((), (), frozenset(), "localhost")


def tag_warnings(job: Job, addresses: Addresses | None = None) -> list[str]:
    """One line per wrong tag: where, which, why, and what to write instead. Empty when all is well.

    With `addresses`, taking over an address of the platform is told too.
    """
    tenants = job.Namespace != PLATFORM
    platform = platform_of(addresses) if addresses is not None and tenants else _NO_PLATFORM
    found: list[str] = []
    catalog: dict[str, CatalogService] = {}
    for group, service in _services(job):
        for tags in (service.Tags, service.CanaryTags):
            for problem in _problems(service.Name, _filled_in(tags), platform):
                found.append(f'group "{group.Name}", service "{service.Name}": {problem}')
        catalog[service.Name] = CatalogService(service.Name, _filled_in(service.Tags))
    found += _between_services(catalog, platform)
    return list(dict.fromkeys(found))


def _filled_in(tags: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(_INTERPOLATION.sub("x", tag) for tag in tags or ())


def _services(job: Job) -> Iterator[tuple[TaskGroup, Service]]:
    for group in job.TaskGroups or ():
        for service in group.Services or ():
            yield group, service
        for task in group.Tasks or ():
            for service in task.Services or ():
                yield group, service


def _problems(service: str, tags: tuple[str, ...], platform: Platform) -> Iterable[Problem]:
    asked = read_tags(tags, service, platform.default_domain)
    yield from asked.problems
    configuration = configure({service: CatalogService(service, tags)}, platform, Configuration())
    for router in configuration.routers.values():
        if router.source != INTERNAL:
            # The service may be defined by another service of the catalog, which only the panel can tell.
            yield from (problem for problem in router.problems if "there is no service" not in problem.message)


def _between_services(catalog: dict[str, CatalogService], platform: Platform) -> list[str]:
    """What shows only when the services of the job are looked at together."""
    configuration = configure(catalog, platform, Configuration())
    return [
        f'service "{router.source}": {problem}'
        for router in configuration.routers.values()
        for problem in router.problems
        if router.source != INTERNAL
        and ("is defined by" in problem.message or "there is no service" in problem.message)
    ]
