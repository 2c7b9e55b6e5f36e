"""A node's configuration: what `kokiris up` writes and every role reads. One TOML file, no secrets in it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from kokiris.kernel.errors import BadInput
from kokiris.kernel.names import Addresses, InfraName, check_domain, parse_infra


class Ports(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where each door listens. `http` and `https` on the VIP, the others on `Config.bind_address`."""

    http: int = 80
    https: int = 443
    nomad: int = 4646
    consul: int = 8500
    dns: int = 8600
    rpc: int = 4647
    """Servers' mutual-TLS listener for the infra's own nodes."""
    node: int = 4649
    """Workers' mutual-TLS listener: logs, exec, files, statistics."""
    panel: int = 8089
    """The routing panel, behind HAProxy."""
    logs: int = 9200
    """The log search's Elasticsearch API, behind HAProxy."""
    registry: int = 5001
    """Tokens and management of the client's registry, behind HAProxy."""
    etcd_client: int = 2379
    etcd_peer: int = 2380


class StoreConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which store. `kind` is sqlite or etcd; with etcd and no `endpoints` the agent runs one on this node."""

    kind: str = "sqlite"
    endpoints: list[str] = msgspec.field(default_factory=list)


class DockerConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which Docker Engine. A running one at `socket` is used as it is; otherwise the agent runs its own there."""

    socket: str = "/var/run/docker.sock"
    bridge: str = "docker0"
    """The bridge of a dockerd that the agent runs itself."""
    bridge_cidr: str = ""
    """Address/prefix of that bridge; empty: dockerd's own choice."""


class AddOnsConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Choices of the operator for the platform's own jobs; `kokiris up` leaves them as they are in the file."""

    images: dict[str, str] = msgspec.field(default_factory=dict)
    """Image recipe → an image to pull instead of building one: `registry = "docker.io/library/registry:2"`."""


class RegistryConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which registry: the infra's own add-on, or that of another infra of the client."""

    server: str = ""
    """host[:port] of the other infra's, as it stands in image names; the account for it is in `access/registry.json`,
    taken in by `kokiris up -registry`. Empty: our own."""


class LogsConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The log search. With `elasticsearch_url`, entries go to that Elasticsearch or OpenSearch instead of our index."""

    retention_days: int = 7
    """Today counts as one."""
    retention_bytes: int = 0
    """Of all days on disk; 0: no limit but the disk's own."""
    elasticsearch_url: str = ""
    """http(s)://host:port, without credentials."""
    elasticsearch_credentials_file: str = ""
    """A file (0600) with one line, the value of its Authorization header: "ApiKey …" or "Basic …"; empty: none."""
    elasticsearch_ca_file: str = ""
    """PEM certificates that its own is checked against; empty: the machine's authorities."""


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """See each field. Paths below `data_dir` are given by `Layout`."""

    client: str
    infra: str
    domain: str = "customer.kokiris.localhost"
    data_dir: str
    node_name: str = "node1"
    datacenter: str = "dc1"
    server: bool = True
    worker: bool = True
    edge: bool = True
    bind_address: str = "127.0.0.1"
    """Where this node's own listeners bind; on one node, loopback."""
    advertise_address: str = ""
    """Where services of this node are reached; empty: the address of the Docker bridge (one node only)."""
    vip_address: str = "127.0.0.1"
    servers: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.1:4647"])
    """host:port of every server's rpc listener."""
    ports: Ports = msgspec.field(default_factory=Ports)
    store: StoreConfig = msgspec.field(default_factory=StoreConfig)
    docker: DockerConfig = msgspec.field(default_factory=DockerConfig)
    logs: LogsConfig = msgspec.field(default_factory=LogsConfig)
    addons: AddOnsConfig = msgspec.field(default_factory=AddOnsConfig)
    registry: RegistryConfig = msgspec.field(default_factory=RegistryConfig)
    hosts_file: str = "/etc/hosts"
    """Where `up` writes the platform's names (between marks, removed by `down`); empty: nowhere."""

    @property
    def name(self) -> InfraName:
        return parse_infra(self.client, self.infra)

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.name, check_domain(self.domain))

    def own_hosts(self) -> list[str]:
        """The platform's names that lead to this infra: not those that another one of the client holds for it."""
        elsewhere = {urlsplit(self.logs.elasticsearch_url).hostname}
        if self.registry.server:
            elsewhere.add(self.addresses.registry)
        return [host for host in self.addresses.hosts() if host not in elsewhere]

    @property
    def registry_server(self) -> str:
        """The client's registry as it stands in image names: host, and the port when it is not 443."""
        host = self.addresses.registry
        return self.registry.server or (host if self.ports.https == 443 else f"{host}:{self.ports.https}")


def keep_operators_lines(config: Config, present: Config) -> None:
    """Takes over from the present configuration what `up` has no option for: the operator's own lines of the file."""
    config.addons, config.logs, config.registry = present.addons, present.logs, present.registry


class Layout:
    """Every file of a node, below one data folder: nothing of ours lies elsewhere (but the hosts file's block)."""

    def __init__(self, data_dir: str | Path) -> None:
        self.root = Path(data_dir)
        self.config = self.root / "config.toml"
        self.logs = self.root / "log"
        """One file per role: agent.log, server.log, worker.log, edge.log, dns.log, haproxy.log, dockerd.log…"""
        self.run = self.root / "run"
        """Sockets and `<process>.pid` files (pid and start time); 0700."""
        self.tls = self.root / "tls"
        """ca.pem, ca.key (servers only), node.pem, node.key: 0600."""
        self.token_file = self.root / "token.env"
        """The management token, 0600, to be sourced."""
        self.token_hash = self.root / "access" / "management.json"
        """What a server needs to know it: accessor id and hash."""
        self.operator_file = self.root / "access" / "operator.env"
        """The operator token, 0600: sees namespace "platform" too."""
        self.operator_hash = self.root / "access" / "operator.json"
        self.registry_share = self.root / "access" / "registry.json"
        """Address, authority and account of another infra's registry, where it is used; 0600."""
        self.variables_key = self.root / "access" / "variables.key"
        """What variables are encrypted with, on servers; 0600."""
        self.store = self.root / "store"
        self.allocs = self.root / "alloc"
        """<alloc id>/{alloc,<task>/{local,secrets}}."""
        self.worker = self.root / "worker"
        """Node id and secret (0600), task handles."""
        self.haproxy = self.root / "haproxy"
        self.docker = self.root / "docker"
        self.addons = self.root / "addons"
        """<add-on>/: data of the platform's own jobs, mounted into their containers."""


def load(path: Path) -> Config:
    """Reads a configuration file. Raises BadInput naming file and field."""
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=Config)
    except FileNotFoundError as error:
        raise BadInput(f"configuration {path} does not exist", next_step="Run `kokiris up` first.") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadInput(f"configuration {path}: {error}") from error
    _ = config.addresses  # names are checked before anything uses them
    return config


def save(config: Config, path: Path) -> None:
    """Writes it (0644: it holds no secret)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.toml.encode(config))
