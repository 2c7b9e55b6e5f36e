"""Configuration → all that HAProxy should hold: slots, servers, maps, certificates. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kokiris.routing.compiler import Memo, Route, Tables, compile_routes
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


@dataclass(slots=True)
class Compiler:
    """What is remembered from one compilation to the next, to do less work; never changes an answer."""

    memos: dict[str, Memo] = field(default_factory=lambda: {name: Memo() for name in ENTRY_POINTS})
    routes: dict[str, list[Route]] = field(default_factory=dict)
    tables: dict[str, Tables] = field(default_factory=dict)

    def plan(self, configuration: Configuration, slots: Mapping[str, int], busy: Iterable[int] = ()) -> Plan:
        """`slots` as they were: a service keeps its own. `busy` ones still hold servers: nobody else gets them."""
        used = {router.service for router in configuration.serving.values()}
        services = {name: service for name, service in configuration.services.items() if name in used}
        plan = Plan(slots=assign_slots(services, slots, busy))
        for name, number in plan.slots.items():
            plan.servers[number] = _servers(services[name], plan.instances)
        targets = {name: slot_name(number) for name, number in plan.slots.items()}
        targets.update((name, service.backend) for name, service in services.items() if service.backend)
        for entry_point in ENTRY_POINTS:
            plan.tables[entry_point] = self._table(entry_point, configuration.serving, targets)
        winners = set().union(*(table.winners for table in plan.tables.values()))
        plan.shadowed = frozenset(configuration.serving.keys() - winners)
        plan.certificates = frozenset(
            host
            for router in configuration.serving.values()
            if router.source != INTERNAL and on_websecure(router) and router.expression is not None
            for host in hosts(router.expression)
            if host != "*"
        )
        return plan

    def _table(self, entry_point: str, routers: Mapping[str, Router], targets: Mapping[str, str]) -> Tables:
        routes = [route for router in routers.values() if (route := _route(router, entry_point, targets))]
        if routes != self.routes.get(entry_point):
            self.tables[entry_point] = compile_routes(routes, nowhere=NOWHERE, memo=self.memos[entry_point])
            self.routes[entry_point] = routes
        return self.tables[entry_point]


def on_websecure(router: Router) -> bool:
    """Whether it answers HTTPS: by default it does."""
    return not router.entry_points or "websecure" in router.entry_points


def _route(router: Router, entry_point: str, targets: Mapping[str, str]) -> Route | None:
    if router.expression is None:
        return None
    if entry_point in router.entry_points or (entry_point == "websecure" and not router.entry_points):
        return Route(router.name, router.priority, router.expression, targets[router.service])
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
