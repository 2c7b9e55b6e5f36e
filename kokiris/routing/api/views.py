"""What routing knows, in the JSON shapes of Traefik's API. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kokiris.routing.configuration import HIGHEST, Configuration
from kokiris.routing.haproxy.files import slot_name
from kokiris.routing.model import ENTRY_POINTS, INTERNAL, PROVIDER, Router, Server, Service
from kokiris.routing.plan import Plan

Shape = dict[str, Any]

SHADOWED = "never matches: routers of higher priority take all of its requests"


def provider_of(name: str) -> str:
    """`web@consulcatalog` → consulcatalog."""
    return name.rpartition("@")[2]


def _status(errors: bool, warnings: bool) -> str:
    return "disabled" if errors else "warning" if warnings else "enabled"


def router(one: Router, configuration: Configuration, plan: Plan) -> Shape:
    """A router. `error` holds errors and warnings as text; `lastGood` is there when an earlier version is served."""
    served = configuration.serving.get(one.name)
    shadowed = one.name in plan.shadowed and one.source != INTERNAL  # an add-on that answers in our place is no trouble
    priority = min(one.priority, HIGHEST)  # Traefik's clients read it into 64 bits
    entry_points = list(one.entry_points or (("websecure",) if one.protocol == "http" else ()))
    texts = [str(problem) for problem in one.problems] + ([SHADOWED] if shadowed else [])
    shape: Shape = {
        "entryPoints": entry_points,
        "service": one.service.removesuffix(f"@{PROVIDER}"),
        "rule": one.rule,
        "priority": priority,
        "priorityStr": str(priority),
        "status": _status(one.refused, bool(texts)),
        "using": [name for name in entry_points if name in ENTRY_POINTS],
        "name": one.name,
        "provider": provider_of(one.name),
        "source": one.source,
    }
    if one.middlewares:
        shape["middlewares"] = list(one.middlewares)
    if one.tls or "websecure" in entry_points:
        shape["tls"] = {}
    if texts:
        shape["error"] = texts
    if one.refused and served is not None:
        shape["lastGood"] = {"rule": served.rule, "service": served.service.removesuffix(f"@{PROVIDER}")}
    return shape


def service(one: Service, configuration: Configuration, plan: Plan) -> Shape:
    """A service with the state of each of its servers."""
    used_by = sorted(name for name, router in configuration.serving.items() if router.service == one.name)
    up, down = {url(server, one.scheme) for server in one.servers}, {url(server, one.scheme) for server in one.down}
    texts = [str(problem) for problem in one.problems]
    shape: Shape = {
        "loadBalancer": {
            "servers": [
                {"url": url(server, one.scheme), "weight": server.weight} for server in (*one.servers, *one.down)
            ],
            "passHostHeader": True,
            "strategy": "wrr",
        },
        "status": _status(one.refused, bool(texts)),
        "usedBy": used_by,
        "serverStatus": {**dict.fromkeys(sorted(down), "DOWN"), **dict.fromkeys(sorted(up), "UP")},
        "name": one.name,
        "provider": provider_of(one.name),
        "type": "loadbalancer",
        "source": one.source,
    }
    if texts:
        shape["error"] = texts
    slot = plan.slots.get(one.name)
    if slot is not None:
        shape["slot"] = slot_name(slot)
    if one.source == INTERNAL:
        shape["type"] = "internal"
        shape.pop("loadBalancer")
    return shape


def url(server: Server, scheme: str) -> str:
    """A server as Traefik writes it."""
    address = f"[{server.address}]" if ":" in server.address else server.address
    return f"{scheme}://{address}:{server.port}"


def routers(configuration: Configuration, plan: Plan, protocol: str = "http") -> list[Shape]:
    """All of a protocol. Those of tcp and udp are refused by name; they are shown with the reason."""
    return [router(one, configuration, plan) for one in configuration.routers.values() if one.protocol == protocol]


def services(configuration: Configuration, plan: Plan) -> list[Shape]:
    """All of them."""
    return [service(one, configuration, plan) for one in configuration.services.values()]


def counts(shapes: Iterable[Shape]) -> Shape:
    """The overview's counters."""
    states = Counter(shape["status"] for shape in shapes)
    return {"total": sum(states.values()), "warnings": states["warning"], "errors": states["disabled"]}


def overview(configuration: Configuration, plan: Plan, certificates: list[Shape]) -> Shape:
    """Everything counted. `problems`: what concerns no router in particular, by service of the catalog."""
    none = {"total": 0, "warnings": 0, "errors": 0}
    return {
        "http": {
            "routers": counts(routers(configuration, plan)),
            "services": counts(services(configuration, plan)),
            "middlewares": none,
        },
        "tcp": {"routers": counts(routers(configuration, plan, "tcp")), "services": none, "middlewares": none},
        "udp": {"routers": counts(routers(configuration, plan, "udp")), "services": none},
        "certificates": {
            "total": len(certificates),
            "warnings": sum(one["status"] == "warning" for one in certificates),
            "errors": sum(one["status"] == "expired" for one in certificates),
        },
        "features": {"tracing": "", "metrics": "", "accessLog": False},
        "providers": ["ConsulCatalog"],
        "problems": problems(configuration),
    }


def problems(configuration: Configuration) -> list[Shape]:
    """Those of no router in particular."""
    return [
        {"service": name, "severity": str(problem.severity), "text": str(problem)}
        for name, of_service in sorted(configuration.problems.items())
        for problem in of_service
    ]


def raw_data(configuration: Configuration, plan: Plan) -> Shape:
    """Everything in one document."""
    shapes: dict[str, list[Shape]] = {
        "routers": routers(configuration, plan),
        "services": services(configuration, plan),
        "tcpRouters": routers(configuration, plan, "tcp"),
        "udpRouters": routers(configuration, plan, "udp"),
    }
    return {
        **{kind: {one["name"]: _without_name(one) for one in all_of} for kind, all_of in shapes.items()},
        "middlewares": {},
        "tcpServices": {},
        "tcpMiddlewares": {},
        "udpServices": {},
    }


def _without_name(shape: Mapping[str, Any]) -> Shape:
    return {key: value for key, value in shape.items() if key not in {"name", "provider"}}
