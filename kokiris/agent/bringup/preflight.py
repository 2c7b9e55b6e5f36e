"""What must hold on this machine before anything is changed."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path

from kokiris.agent.processes import read_pid
from kokiris.agent.third_parties import runs_dockerd
from kokiris.infra.config import Config, Layout
from kokiris.infra.listening import Listener, conflicts, listeners
from kokiris.kernel.errors import HostError

PACKAGES = {"haproxy": "haproxy", "dockerd": "docker.io", "etcd": "etcd-server", "iptables": "iptables"}
"""Program → Debian package."""


def wanted_ports(config: Config) -> dict[str, tuple[str, int]]:
    """Door → (address, port) that this node will listen on. Pure."""
    ports, bind = config.ports, config.bind_address
    wanted: dict[str, tuple[str, int]] = {}
    if config.server:
        wanted["logs"] = (bind, ports.logs)
        wanted |= {"nomad": (bind, ports.nomad), "consul": (bind, ports.consul), "rpc": (bind, ports.rpc)}
        wanted["registry"] = (bind, ports.registry)
        if config.store.kind == "etcd" and not config.store.endpoints:
            wanted |= {"etcd": ("127.0.0.1", ports.etcd_client), "etcd peer": ("127.0.0.1", ports.etcd_peer)}
    if config.worker:
        wanted["node"] = (bind, ports.node)
    if config.edge:
        wanted |= {"http": (config.vip_address, ports.http), "https": (config.vip_address, ports.https)}
        wanted |= {"panel": ("127.0.0.1", ports.panel), "dns": (bind, ports.dns)}
    return wanted


def own_pids(layout: Layout) -> set[int]:
    """Processes of this infra that run already. Each leads a session: see `is_own`."""
    records = [read_pid(path) for path in layout.run.glob("*.pid")] if layout.run.exists() else []
    return {record.pid for record in records if record is not None}


def is_own(pid: int, own: set[int]) -> bool:
    """Whether `pid` is one of ours or works for one of ours (HAProxy's worker, containerd…)."""
    try:
        return pid in own or os.getsid(pid) in own
    except ProcessLookupError:
        return False


def describe_conflict(wanted: dict[str, tuple[str, int]], taken: Listener) -> str:
    """One line naming the door, the port and its present owner. Pure."""
    door = next(name for name, (_, port) in wanted.items() if port == taken.port)
    owner = f"{taken.program}, process {taken.pid}" if taken.pid else "a process that this user cannot see"
    return f"port {taken.port} ({door}) is already taken on {taken.address} by {owner}"


def check_machine(config: Config, layout: Layout) -> None:
    """Raises HostError naming what is in the way; nothing has been changed then."""
    if os.geteuid() != 0:
        raise HostError("kokiris needs root to run containers and listen on the VIP", next_step="Run it as root.")
    programs = ["haproxy"] if config.edge else []
    if config.worker and runs_dockerd(config, layout):
        programs += ["dockerd", "iptables"]
    if config.store.kind == "etcd" and not config.store.endpoints:
        programs.append("etcd")
    missing = [name for name in programs if _which(name) is None]
    if missing:
        packages = " ".join(PACKAGES[name] for name in missing)
        raise HostError(
            f"missing on this machine: {', '.join(missing)}",
            next_step=f"Run `apt-get install {packages}`, or `make up`.",
        )
    if config.edge and not is_local(config.vip_address):
        raise HostError(
            f"the VIP's address {config.vip_address} is not an address of this machine",
            next_step="Give one of its own with -vip (`ip -brief address` lists them).",
        )
    own = own_pids(layout)
    wanted = wanted_ports(config)
    in_the_way = [one for one in conflicts(list(wanted.values()), listeners()) if not is_own(one.pid, own)]
    if in_the_way:
        raise HostError(
            "; ".join(describe_conflict(wanted, one) for one in in_the_way),
            next_step="Stop what listens there, or choose other ports (`kokiris up --port http=8080 …`).",
        )


def is_local(address: str) -> bool:
    """Whether this machine can listen on it. Pure but for the question to the kernel."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            return error.errno not in {errno.EADDRNOTAVAIL, errno.EINVAL}
    return True


def _which(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/local/sbin")


def data_dir_of(client: str, infra: str, base: Path = Path("/var/lib/kokiris")) -> Path:
    """Where an infra's data lies unless said otherwise."""
    return base / client / infra
