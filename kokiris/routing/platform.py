"""The platform's own addresses as routers: nothing a tag says can take them over. Pure."""

from __future__ import annotations

from kokiris.kernel.names import Addresses
from kokiris.routing.configuration import Platform
from kokiris.routing.model import INTERNAL, Router, Service
from kokiris.routing.rules import Matcher

HIGHEST = 2**63 - 1
"""Above every priority that a tag may give."""


def platform_of(addresses: Addresses) -> Platform:
    """Routers for the seven addresses; each backend is a fixed one of the configuration."""
    words = (
        ("nomad", addresses.nomad, "nomad"),
        ("consul", addresses.consul, "consul"),
        ("dashboard", addresses.traefikadmin, "panel"),
        ("vip", addresses.vip, "vip"),
        ("pma", addresses.pma, "addon"),
        ("registry", addresses.registry, "addon"),
        ("kib", addresses.kib, "addon"),
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
    backends = dict.fromkeys(backend for _, _, backend in words)
    services = tuple(Service(f"{backend}@{INTERNAL}", source=INTERNAL, backend=backend) for backend in backends)
    name = addresses.name
    return Platform(routers, services, frozenset(addresses.hosts()), f"{name.infra}.{name.client}.{addresses.domain}")
