"""What routing is made of: routers, services, servers, and what is wrong with them. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kokiris.routing.rules import Expression

PROVIDER = "consulcatalog"
"""Names are qualified as Traefik's: `web@consulcatalog`."""
INTERNAL = "internal"
"""The provider of the platform's own routers."""
ADD_ONS = "platform"
"""The provider of what the platform's own jobs (its add-ons) ask for by their tags."""

ENTRY_POINTS = ("web", "websecure")


class Severity(StrEnum):
    """An error takes its router out of service (its last good version stays in); a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a user should know about a tag. `tag` is as the user wrote it, or the nearest name for it."""

    severity: Severity
    tag: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.tag}: {self.message}. {self.fix}"


def error(tag: str, message: str, fix: str) -> Problem:
    """An error."""
    return Problem(Severity.ERROR, tag, message, fix)


def warning(tag: str, message: str, fix: str) -> Problem:
    """A warning."""
    return Problem(Severity.WARNING, tag, message, fix)


@dataclass(frozen=True, slots=True)
class Router:
    """A rule and the service that answers it. `name` and `service` are qualified (`web@consulcatalog`)."""

    name: str
    rule: str
    service: str
    expression: Expression | None = None
    """None when the rule does not parse or is not acted on."""
    priority: int = 0
    """As computed: the rule's length in bytes unless a tag gives it."""
    entry_points: tuple[str, ...] = ()
    """As the tags ask; empty: websecure, and web redirects to it."""
    tls: bool = False
    source: str = ""
    """The catalog's service whose tags ask for it."""
    protocol: str = "http"
    middlewares: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def refused(self) -> bool:
        return any(problem.severity is Severity.ERROR for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Server:
    """One address that answers for a service."""

    instance_id: str
    address: str
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Service:
    """What a router hands requests to: `servers` are those that may get new requests now, `down` the others."""

    name: str
    source: str = ""
    scheme: str = "http"
    servers: tuple[Server, ...] = ()
    down: tuple[Server, ...] = ()
    backend: str = ""
    """A backend of the platform's own; empty: a slot."""
    problems: tuple[Problem, ...] = ()

    @property
    def refused(self) -> bool:
        return any(problem.severity is Severity.ERROR for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of the catalog. `created` orders deployments: the higher, the newer."""

    id: str
    address: str
    port: int
    tags: tuple[str, ...]
    healthy: bool
    created: int = 0
    platform: bool = False
    """Of a job of the platform's own, which may have the platform's addresses."""


@dataclass(frozen=True, slots=True)
class CatalogService:
    """All that routing reads about a service: its instances, and the tags of its declaration (union, without any)."""

    name: str
    tags: tuple[str, ...]
    instances: tuple[Instance, ...] = ()
