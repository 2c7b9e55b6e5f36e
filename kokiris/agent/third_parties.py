"""The programs that are not ours: how dockerd and etcd are started on a node. Pure: configuration in, specs out."""

from __future__ import annotations

import socket
from pathlib import Path

from kokiris.agent.processes import ProcessSpec
from kokiris.infra.config import Config, Layout


def dockerd_spec(config: Config, layout: Layout) -> ProcessSpec:
    """A dockerd of our own. `--live-restore`: containers go on running while it restarts."""
    argv = [
        "dockerd",
        "--host", f"unix://{config.docker.socket}",
        "--data-root", str(layout.docker / "data"),
        "--exec-root", str(layout.docker / "exec"),
        "--pidfile", str(layout.run / "dockerd.docker.pid"),
        "--live-restore",
        "--log-level", "warn",
        "--storage-driver", "overlay2",
    ]  # fmt: skip
    if config.docker.bridge != "docker0":
        argv += ["--bridge", config.docker.bridge]
    elif config.docker.bridge_cidr:
        argv += ["--bip", config.docker.bridge_cidr]
    return ProcessSpec(
        name="dockerd",
        argv=argv,
        log_file=layout.logs / "dockerd.log",
        pid_file=layout.run / "dockerd.pid",
        stop_timeout_s=60.0,
        inner_pid_files=[layout.docker / "exec" / "containerd" / "containerd.pid", layout.run / "dockerd.docker.pid"],
    )


def etcd_spec(config: Config, layout: Layout) -> ProcessSpec:
    """The etcd of a one-server infra: loopback, mutual TLS with the infra's certificates."""
    client = f"https://127.0.0.1:{config.ports.etcd_client}"
    peer = f"https://127.0.0.1:{config.ports.etcd_peer}"
    certificates: list[str] = []
    for prefix in ("", "peer-"):
        certificates += [
            f"--{prefix}cert-file", str(layout.tls / "node.pem"),
            f"--{prefix}key-file", str(layout.tls / "node.key"),
            f"--{prefix}trusted-ca-file", str(layout.tls / "ca.pem"),
            f"--{prefix}client-cert-auth",
        ]  # fmt: skip
    return ProcessSpec(
        name="etcd",
        argv=[
            "etcd",
            "--name", config.node_name,
            "--data-dir", str(layout.store / "etcd"),
            "--listen-client-urls", client,
            "--advertise-client-urls", client,
            "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"{config.node_name}={peer}",
            "--max-txn-ops", "5000",
            "--max-request-bytes", str(32 * 1024 * 1024),
            "--auto-compaction-mode", "periodic",
            "--auto-compaction-retention", "1h",
            "--log-level", "warn",
            *certificates,
        ],
        log_file=layout.logs / "etcd.log",
        pid_file=layout.run / "etcd.pid",
    )  # fmt: skip


def docker_answers(path: str, timeout_s: float = 3.0) -> bool:
    """Whether a Docker Engine answers on the socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(path)
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b"200 OK" in connection.recv(1024)
    except OSError:
        return False


def runs_dockerd(config: Config, layout: Layout) -> bool:
    """Whether the agent is the one to run dockerd: it did before, or none answers now."""
    return Path(layout.run / "dockerd.pid").exists() or not docker_answers(config.docker.socket)
