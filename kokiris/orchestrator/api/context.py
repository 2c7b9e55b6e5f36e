"""What the API is composed of: everything it needs from elsewhere, as protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kokiris.access.model import TokenRecord
from kokiris.discovery.model import ServiceInstance
from kokiris.http.tokens import Authenticator
from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.kernel.topics import Topics
from kokiris.orchestrator.api.cache import Encodings
from kokiris.orchestrator.commands import Commands
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.state import State
from kokiris.store.contract import Event
from kokiris.variables.model import Variables

if TYPE_CHECKING:
    from kokiris.orchestrator.api.dial import NodeDialer
    from kokiris.orchestrator.api.eventlog import EventLog

VERSION = "1.11.0"
"""The Nomad version whose API this is; clients compare it."""


class ServiceCatalog(Protocol):
    """Read side of the catalog (`kokiris.discovery.catalog.Catalog`), for the endpoints on services."""

    root: bytes
    listeners: list[Callable[[int, Sequence[Event]], None]]
    """Told of every commit once it is applied."""

    @property
    def topics(self) -> Topics:
        """("services",): names and tags; ("service", name): its instances; ("instances",): any instance."""
        ...

    def all_instances(self) -> Iterable[ServiceInstance]: ...

    def instances_of(self, service: str) -> Sequence[ServiceInstance]: ...

    def address_of(self, instance: ServiceInstance) -> str:
        """Its own address, or its node's."""
        ...

    def status_of(self, instance: ServiceInstance) -> str:
        """passing, warning or critical: the worst of its checks, its node's included."""
        ...


class TokenReader(Protocol):
    """Read side of the tokens."""

    def tokens(self) -> Sequence[TokenRecord]:
        """Oldest first."""
        ...


class NoServices:
    """A catalog without services, where none is composed."""

    def __init__(self) -> None:
        self.root = b"/"
        self.topics = Topics()
        self.listeners: list[Callable[[int, Sequence[Event]], None]] = []

    def all_instances(self) -> Iterable[ServiceInstance]:
        return ()

    def instances_of(self, service: str) -> Sequence[ServiceInstance]:
        del service
        return ()

    def address_of(self, instance: ServiceInstance) -> str:
        return instance.Address

    def status_of(self, instance: ServiceInstance) -> str:
        return instance.status()


class NoTokens:
    """No token records to list."""

    def tokens(self) -> Sequence[TokenRecord]:
        return ()


def no_tag_warnings(job: Job) -> Sequence[str]:
    """Where no routing package is composed, tags are not looked at."""
    del job
    return ()


@dataclass(frozen=True, slots=True)
class Identity:
    """What the server says of itself."""

    name: str = "server.global"
    datacenter: str = "dc1"
    region: str = "global"
    rpc_host: str = "127.0.0.1"
    rpc_port: int = 4647
    peers: tuple[str, ...] = ("127.0.0.1:4647",)
    """host:port of every server's rpc listener."""

    @property
    def rpc_address(self) -> str:
        return f"{self.rpc_host}:{self.rpc_port}"


@dataclass(slots=True)
class ApiContext:
    """Handed to every handler by its `Call`."""

    commands: Commands
    authenticator: Authenticator
    dialer: NodeDialer
    events: EventLog
    catalog: ServiceCatalog = field(default_factory=NoServices)
    tokens: TokenReader = field(default_factory=NoTokens)
    tag_warnings: Callable[[Job], Sequence[str]] = no_tag_warnings
    identity: Identity = field(default_factory=Identity)
    now_ns: NowNs = wall_ns
    encodings: Encodings = field(default_factory=Encodings)
    variables: Variables | None = None
    """None: this server has none."""

    @property
    def state(self) -> State:
        return self.commands.state
