"""The platform's own addresses as routers: nothing a tag says can take them over. Pure."""

from __future__ import annotations

from kokiris.kernel.names import Addresses
from kokiris.routing.configuration import HIGHEST, Platform
from kokiris.routing.model import INTERNAL, Router, Service
from kokiris.routing.rules import And, Matcher, Or

ABOVE_ADD_ONS = 2**64 - 1
"""Above the routers of add-ons."""


def platform_of(addresses: Addresses) -> Platform:
    """Routers for the seven addresses; each backend is a fixed one of the configuration. An add-on's own routers come
    before the "addon" backend, which says that it is not enabled."""
    words = (
        ("nomad", addresses.nomad, "nomad"),
        ("consul", addresses.consul, "consul"),
        ("dashboard", addresses.traefikadmin, "panel"),
        ("vip", addresses.vip, "vip"),
        ("pma", addresses.pma, "addon"),
        ("registry", addresses.registry, "addon"),
        ("kib", addresses.kib, "logs"),
    )
    routers = tuple(
        Router(
            name=f"{name}@{INTERNAL}",
            rule=f"Host(`{host}`)",
            service=f"{backend}@{INTERNAL}",
            expression=Matcher("Host", (host,)),
            priority=HIGHEST,
            tls=True,
            source=INTERNAL,
        )
        for name, host, backend in words
    )
    routers += (_registry_doors(addresses.registry),)
    backends = dict.fromkeys([*(backend for _, _, backend in words), "registry"])
    services = tuple(Service(f"{backend}@{INTERNAL}", source=INTERNAL, backend=backend) for backend in backends)
    name = addresses.name
    return Platform(
        routers,
        services,
        frozenset(addresses.hosts()),
        f"{name.infra}.{name.client}.{addresses.domain}",
        claimable=frozenset(host for _, host, backend in words if backend == "addon"),
    )


def _registry_doors(host: str) -> Router:
    """Page, tokens and management of the registry are ours; every other path of its address is its container's."""
    paths = Or((Matcher("Path", ("/",)), Matcher("Path", ("/token",)), Matcher("PathPrefix", ("/api/",))))
    return Router(
        name=f"registry-doors@{INTERNAL}",
        rule=f"Host(`{host}`) && (Path(`/`) || Path(`/token`) || PathPrefix(`/api/`))",
        service=f"registry@{INTERNAL}",
        expression=And((Matcher("Host", (host,)), paths)),
        priority=ABOVE_ADD_ONS,
        tls=True,
        source=INTERNAL,
    )
