"""The catalog → routers and services, with what is wrong with each. Pure.

A bad router never takes another down: it keeps its last good version in service while the error shows. Where instances
of one service carry different tags (a rolling update), the newest deployment's count, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from kokiris.routing.model import (
    ADD_ONS,
    INTERNAL,
    PROVIDER,
    CatalogService,
    Instance,
    Problem,
    Router,
    Server,
    Service,
    error,
    warning,
)
from kokiris.routing.rules import hosts
from kokiris.routing.tags import PREFIX, RouterTags, TagSet, read_tags

HIGHEST = 2**63 - 1
"""Above every priority that a tag may give; routers of add-ons stand above it by their own."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one service of the catalog asks for; kept, so that it is read again only when it has changed."""

    catalog: CatalogService
    routers: tuple[Router, ...] = ()
    services: tuple[Service, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """`routers` and `services` as asked for; `serving` those routers that requests are answered by, in the version
    that is served (of a refused router: its last good one)."""

    routers: dict[str, Router] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    serving: dict[str, Router] = field(default_factory=dict)
    problems: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    """By service of the catalog: what concerns no router in particular."""
    parts: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform's own routers and services, its host names, and the domain of default rules."""

    routers: tuple[Router, ...]
    services: tuple[Service, ...]
    hosts: frozenset[str]
    default_domain: str
    claimable: frozenset[str] = frozenset()
    """Those of `hosts` that instances of the platform's own jobs may answer for."""


def configure(catalog: Mapping[str, CatalogService], platform: Platform, previous: Configuration) -> Configuration:
    """The configuration that `catalog` asks for. `previous` gives unchanged parts and last good versions."""
    parts = {
        key: part
        if (part := previous.parts.get(key)) is not None and part.catalog is service
        else read_service(service, platform, of_add_on=of_add_on)
        for service in catalog.values()
        for key, of_add_on in _sides(service)
    }
    services = _merge_services(parts.values())
    routers = _merge_routers(parts.values())
    routers = {name: _checked(router, services) for name, router in routers.items()}
    services.update((service.name, service) for service in platform.services)
    serving = {name: version for name, router in routers.items() if (version := _version(router, services, previous))}
    for router in platform.routers:
        routers[router.name] = serving[router.name] = router
    problems = {name: part.problems for name, part in parts.items() if part.problems}
    return Configuration(routers, services, serving, problems, parts)


def _sides(service: CatalogService) -> list[tuple[str, bool]]:
    """(key of the part, whether it is the add-ons'): instances of an add-on and of a tenant's job of the same service
    name never answer for each other."""
    add_ons = any(one.platform for one in service.instances)
    tenants = not add_ons or not all(one.platform for one in service.instances)
    return [(service.name, False)] * tenants + [(f"{service.name}@{ADD_ONS}", True)] * add_ons


def read_service(catalog_service: CatalogService, platform: Platform, *, of_add_on: bool = False) -> Part:
    """What one service of the catalog asks for: its tenants' instances, or those of the platform's own jobs."""
    service = catalog_service
    if any(one.platform is not of_add_on for one in service.instances):
        chosen = tuple(one for one in service.instances if one.platform is of_add_on)
        service = replace(service, instances=chosen)
    provider = ADD_ONS if of_add_on else PROVIDER
    tags = tags_in_force(service)
    asked = read_tags(tags, service.name, platform.default_domain)
    if not asked.enabled:
        return Part(catalog_service, problems=asked.problems)
    conflict = _conflict(service, tags)
    routers = tuple(
        Router(
            name=f"{router.name}@{provider}",
            rule=router.rule,
            service=_qualified(router.service, provider),
            expression=router.expression,
            priority=router.priority + HIGHEST * of_add_on,
            entry_points=router.entry_points,
            tls=router.tls,
            source=service.name,
            protocol=router.protocol,
            middlewares=router.middlewares,
            problems=(
                *router.problems,
                *conflict,
                *_reserved(router, platform.hosts - platform.claimable if of_add_on else platform.hosts),
            ),
        )
        for router in asked.routers
    )
    return Part(catalog_service, routers, _services(service, asked, platform, provider), asked.problems)


def tags_in_force(service: CatalogService) -> tuple[str, ...]:
    """The tags of the newest healthy instance, else of the newest, else of the declaration."""
    candidates = [one for one in service.instances if one.healthy] or list(service.instances)
    if not candidates:
        return service.tags
    return max(candidates, key=lambda one: (one.created, one.id)).tags


def _traefik(tags: Iterable[str]) -> frozenset[str]:
    return frozenset(tag for tag in tags if tag[: len(PREFIX)].lower() == PREFIX)


def _conflict(service: CatalogService, tags: tuple[str, ...]) -> tuple[Problem, ...]:
    wanted = _traefik(tags)
    others = [one for one in service.instances if one.tags is not tags and _traefik(one.tags) != wanted]
    if not others:
        return ()
    differing = sorted(_traefik(others[0].tags) ^ wanted)
    return (
        warning(
            differing[0].partition("=")[0],
            f"{len(others)} other instance(s) of {service.name} carry different tags; the newest deployment's count",
            "Nothing to do during an update; otherwise give all instances the same tags.",
        ),
    )


def _reserved(router: RouterTags, reserved: frozenset[str]) -> tuple[Problem, ...]:
    named = hosts(router.expression) if router.expression is not None else []
    return tuple(
        error(
            f"{PREFIX}http.routers.{router.name}.rule",
            f"{host} is an address of the platform",
            "Use a domain name of your own.",
        )
        for host in named
        if host in reserved
    )


def _qualified(name: str, provider: str) -> str:
    return name if not name or "@" in name else f"{name}@{provider}"


def _services(service: CatalogService, asked: TagSet, platform: Platform, provider: str) -> tuple[Service, ...]:
    made = []
    for wanted in asked.services:
        up: list[Server] = []
        down: list[Server] = []
        for instance in service.instances:
            server = _server(instance, wanted.name, service.name, platform)
            if server is not None:
                (up if instance.healthy else down).append(server)
        portless = [one.id for one in service.instances if not one.port and not wanted.port]
        problems = list(wanted.problems)
        if portless:
            problems.append(
                warning(
                    f"{PREFIX}http.services.{wanted.name}.loadbalancer.server.port",
                    f"{len(portless)} instance(s) of {service.name} have no port and get no requests",
                    "Give the service block a port, or this tag a value.",
                )
            )
        made.append(
            Service(
                name=f"{wanted.name}@{provider}",
                source=service.name,
                scheme=wanted.scheme,
                servers=tuple(up),
                down=tuple(down),
                problems=tuple(problems),
            )
        )
    return tuple(made)


def _server(instance: Instance, wanted: str, service: str, platform: Platform) -> Server | None:
    """By the instance's own tags: a port or weight that differs between deployments is each one's own."""
    own = read_tags(instance.tags, service, platform.default_domain)
    if not own.enabled:
        return None
    tags = next((one for one in own.services if one.name.lower() == wanted.lower()), None)
    port = (tags.port if tags else 0) or instance.port
    if not port or not instance.address:
        return None
    return Server(instance.id, instance.address, port, tags.weight if tags else 1)


def _merge_services(parts: Iterable[Part]) -> dict[str, Service]:
    """Services of one name from several services of the catalog are one, if they agree on the scheme."""
    merged: dict[str, Service] = {}
    for part in parts:
        for service in part.services:
            first = merged.get(service.name)
            if first is None:
                merged[service.name] = service
                continue
            differs = first.scheme != service.scheme
            note = warning(
                f"{PREFIX}http.services.{service.name.partition('@')[0]}",
                f"is defined by {first.source} and by {service.source}"
                + (f"; only {first.source} is used, the schemes differ" if differs else "; their instances share it"),
                "Give them different names unless this is meant.",
            )
            merged[service.name] = (
                replace(first, problems=(*first.problems, note))
                if differs
                else replace(
                    first,
                    servers=(*first.servers, *service.servers),
                    down=(*first.down, *service.down),
                    problems=(*first.problems, note),
                )
            )
    return merged


def _merge_routers(parts: Iterable[Part]) -> dict[str, Router]:
    """Of routers of one name, that of the newest deployment counts."""
    merged: dict[str, tuple[tuple[int, str], Router]] = {}
    for part in parts:
        if not part.routers:
            continue
        age = (max((one.created for one in part.catalog.instances), default=0), part.catalog.name)
        for router in part.routers:
            other = merged.get(router.name)
            if other is None:
                merged[router.name] = (age, router)
                continue
            newest, loser = ((age, router), other[1]) if age > other[0] else (other, router)
            note = warning(
                f"{PREFIX}http.routers.{router.name.partition('@')[0]}",
                f"is defined by {loser.source} too; that of {newest[1].source}, the newest, counts",
                "Give the routers different names.",
            )
            merged[router.name] = (newest[0], replace(newest[1], problems=(*newest[1].problems, note)))
    return {name: router for name, (_, router) in merged.items()}


def _checked(router: Router, services: Mapping[str, Service]) -> Router:
    """With the problems of its service: a router whose service is refused is refused."""
    if router.protocol != "http" or not router.service:
        return router
    service = services.get(router.service)
    if service is None or (router.service.endswith(f"@{ADD_ONS}") and not router.name.endswith(f"@{ADD_ONS}")):
        tag = f"{PREFIX}http.routers.{router.name.partition('@')[0]}.service"
        known = ", ".join(sorted(name.partition("@")[0] for name in services)[:10])
        missing = error(
            tag, f'there is no service "{router.service}"', f"Services are: {known}." if known else "Define it."
        )
        return replace(router, problems=(*router.problems, missing))
    return replace(router, problems=(*router.problems, *service.problems)) if service.problems else router


def _version(router: Router, services: Mapping[str, Service], previous: Configuration) -> Router | None:
    """The version to serve: itself if nothing is wrong, else what was served last, as long as its service exists."""
    if router.protocol != "http":
        return None
    if not router.refused and router.expression is not None:
        return router
    last = previous.serving.get(router.name)
    return last if last is not None and last.service in services and last.source != INTERNAL else None
