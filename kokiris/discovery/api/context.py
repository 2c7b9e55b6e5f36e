"""What the API is composed of."""

from __future__ import annotations

from dataclasses import dataclass, field

from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import NodeEntry
from kokiris.discovery.writer import CatalogWriter
from kokiris.http.tokens import Authenticator
from kokiris.kernel.clock import NowNs, wall_ns

VERSION = "1.21.0"
"""The Consul version whose API this is; clients compare it."""

SESSION_TTL_MIN_S = 10.0


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What the agent says of itself. Services registered through it are on node `node_name`."""

    node_name: str = "node1"
    node_id: str = ""
    address: str = "127.0.0.1"
    """Where services of this node are reached, when they name no address of their own."""
    datacenter: str = "dc1"
    domain: str = "consul"
    http_port: int = 8500
    dns_port: int = 8600
    leader: str = "127.0.0.1:4647"
    """host:port of the leader's rpc listener."""
    peers: tuple[str, ...] = ("127.0.0.1:4647",)
    """host:port of every server's rpc listener."""
    session_ttl_min_s: float = SESSION_TTL_MIN_S

    def own_node(self) -> NodeEntry:
        """The node as the catalog shows it until the orchestrator has registered it."""
        return NodeEntry(
            Node=self.node_name,
            ID=self.node_id,
            Address=self.address,
            Datacenter=self.datacenter,
            TaggedAddresses={"lan": self.address, "lan_ipv4": self.address, "wan": self.address},
        )


@dataclass(slots=True)
class ApiContext:
    """Handed to every handler by its `Call`. `authenticator` None: a read-only door for the infra's own nodes."""

    catalog: Catalog
    writer: CatalogWriter
    facts: AgentFacts
    authenticator: Authenticator | None
    now_ns: NowNs = wall_ns
    bodies: dict[tuple[str, ...], tuple[int, bytes]] = field(default_factory=dict)
    """Encoded answers and the index they stand for, shared by all who ask the same."""
