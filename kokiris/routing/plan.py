"""Configuration → all that HAProxy should hold: slots, servers, maps, certificates. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kokiris.routing.compiler import Route, TableCompiler, Tables
from kokiris.routing.configuration import Configuration
from kokiris.routing.haproxy.config import NOWHERE, REDIRECT
from kokiris.routing.haproxy.files import MapName, slot_name
from kokiris.routing.model import ENTRY_POINTS, INTERNAL, Router, Server, Service
from kokiris.routing.rules import hosts

_POOL = " pool-max-conn -1 pool-purge-delay 5s"
"""HAProxy 2.6 gives a server added at run time no purge delay, so that it keeps no idle connection: each request would
open one (measured: 80 instead of 37 µs of CPU per request)."""

_SCHEME_OPTIONS = {"http": "", "https": " ssl verify none", "h2c": " proto h2"}


@dataclass(slots=True)
class Plan:
    """`slots`: service → slot number. `servers`: slot → server name → address and options. `instances`: server name →
    the catalog's instance. `tables` by entry point. `certificates`: names that need one of their own."""

    slots: dict[str, int] = field(default_factory=dict)
    servers: dict[int, dict[str, str]] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)
    tables: dict[str, Tables] = field(default_factory=dict)
    certificates: frozenset[str] = frozenset()
    shadowed: frozenset[str] = frozenset()
    """Routers that match nothing that another one of higher priority does not take."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was made of a router, as long as it is the same object and leads to the same place."""

    router: Router
    target: str
    routes: tuple[Route | None, ...]
    """By entry point, in the order of ENTRY_POINTS."""
    certificates: tuple[str, ...]


class Compiler:
    """Makes plans; remembers the last one's parts to do less work, which never changes an answer."""

    def __init__(self) -> None:
        self._tables = {name: TableCompiler(NOWHERE) for name in ENTRY_POINTS}
        self._known: dict[str, _Known] = {}

    def plan(self, configuration: Configuration, slots: Mapping[str, int], busy: Iterable[int] = ()) -> Plan:
        """`slots` as they were: a service keeps its own. `busy` ones still hold servers: nobody else gets them."""
        used = {router.service for router in configuration.serving.values()}
        services = {name: service for name, service in configuration.services.items() if name in used}
        plan = Plan(slots=assign_slots(services, slots, busy))
        for name, number in plan.slots.items():
            plan.servers[number] = _servers(services[name], plan.instances)
        targets = {name: slot_name(number) for name, number in plan.slots.items()}
        targets.update((name, service.backend) for name, service in services.items() if service.backend)
        self._known = {
            name: self._know(router, targets[router.service]) for name, router in configuration.serving.items()
        }
        for position, entry_point in enumerate(ENTRY_POINTS):
            routes = (route for known in self._known.values() if (route := known.routes[position]) is not None)
            plan.tables[entry_point] = self._tables[entry_point].update(routes)
        winners = set().union(*(table.winners for table in plan.tables.values()))
        plan.shadowed = frozenset(configuration.serving.keys() - winners)
        plan.certificates = frozenset(host for known in self._known.values() for host in known.certificates)
        return plan

    def _know(self, router: Router, target: str) -> _Known:
        known = self._known.get(router.name)
        if known is not None and known.router is router and known.target == target:
            return known
        routes = tuple(_route(router, entry_point, target) for entry_point in ENTRY_POINTS)
        secure = router.source != INTERNAL and on_websecure(router) and router.expression is not None
        named = hosts(router.expression) if secure and router.expression is not None else []
        return _Known(router, target, routes, tuple(host for host in named if host != "*"))


def on_websecure(router: Router) -> bool:
    """Whether it answers HTTPS: by default it does."""
    return not router.entry_points or "websecure" in router.entry_points


def _route(router: Router, entry_point: str, target: str) -> Route | None:
    if router.expression is None:
        return None
    if entry_point in router.entry_points or (entry_point == "websecure" and not router.entry_points):
        return Route(router.name, router.priority, router.expression, target)
    if not router.entry_points:
        return Route(router.name, router.priority, router.expression, REDIRECT)
    return None


def assign_slots(services: Mapping[str, Service], before: Mapping[str, int], busy: Iterable[int]) -> dict[str, int]:
    """A slot for each service that needs one: its own from before, else the lowest that is free."""
    slots = {name: before[name] for name, service in services.items() if not service.backend and name in before}
    taken = {*slots.values(), *busy}
    number = 0
    for name in sorted(services):
        if name in slots or services[name].backend:
            continue
        while number in taken:
            number += 1
        slots[name] = number
        taken.add(number)
    return slots


def server_name(server: Server, scheme: str) -> str:
    """Stable, and different as soon as anything differs that a running server cannot change."""
    text = f"{server.instance_id}\0{server.address}\0{server.port}\0{scheme}"
    return "i" + hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _servers(service: Service, instances: dict[str, str]) -> dict[str, str]:
    servers = {}
    for server in service.servers:
        name = server_name(server, service.scheme)
        address = f"[{server.address}]" if ":" in server.address else server.address
        weight = f" weight {server.weight}" if server.weight != 1 else ""
        servers[name] = f"{address}:{server.port}{_SCHEME_OPTIONS[service.scheme]}{weight}{_POOL}"
        instances[name] = server.instance_id
    return servers


def maps_of(plan: Plan) -> dict[MapName, dict[str, str]]:
    """The maps that HAProxy looks up."""
    maps: dict[MapName, dict[str, str]] = {}
    for entry_point, table in plan.tables.items():
        maps[(entry_point, "host")] = table.host
        maps[(entry_point, "wild")] = table.wild
        maps[(entry_point, "exact")] = table.exact
        maps[(entry_point, "prefix")] = table.prefix
    return maps
