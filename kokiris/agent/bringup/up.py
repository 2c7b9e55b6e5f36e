"""Bringing an infra up on this node: check, write its files, start the agent, wait until every door answers."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from kokiris.access.authority import new_authority, utc_now
from kokiris.access.bootstrap import make_management_token, make_operator_token, rename_registry
from kokiris.access.node_certificate import renew
from kokiris.agent.bringup.bridge import remember_network
from kokiris.agent.bringup.preflight import check_machine
from kokiris.agent.processes import read_pid
from kokiris.infra.config import Config, Layout, load, save
from kokiris.infra.hosts import rewrite, with_block
from kokiris.infra.rules import PlannedNode, check_rules
from kokiris.kernel.clock import wall_ns
from kokiris.kernel.errors import BadInput, HostError, Unavailable
from kokiris.kernel.files import write_atomic, write_secret
from kokiris.registry.sharing import Share
from kokiris.variables.sealing import make_keyring

Say = Callable[[str], None]
"""Shows one line of progress."""

READY_TIMEOUT_S = 180.0


@dataclass(slots=True)
class UpReport:
    """What `up` did. `secret` only in the run that made the token."""

    config: Config
    layout: Layout
    secret: str | None = None
    changes: list[str] = field(default_factory=list)


def up(config: Config, say: Say, share: Share | None = None) -> UpReport:
    """Brings the infra up; a second call changes nothing. `share`: another infra's registry, to be used from now on.

    Raises RuleBroken, BadInput or HostError before any change, Unavailable when a door stays shut.
    """
    layout = Layout(config.data_dir)
    check_rules(config.name, [PlannedNode(config.node_name, config.server, config.worker, config.edge)])
    _ = config.addresses
    _check_same_infra(config, layout)
    check_machine(config, layout)
    report = UpReport(config, layout)
    _write_files(report)
    _write_share(report, share)
    if config.hosts_file:
        _write_hosts(report)
    if read_pid(layout.run / "agent.pid") is None:
        say("starting the agent")
        remember_network(config, layout)
        _start_agent(report)
    wait_ready(config, layout, say)
    return report


def _check_same_infra(config: Config, layout: Layout) -> None:
    if not layout.config.exists():
        return
    present = load(layout.config)
    if (present.client, present.infra) != (config.client, config.infra):
        raise BadInput(
            f"{layout.root} holds infra {present.name}, not {config.name}", next_step="Choose another data folder."
        )
    if present != config and read_pid(layout.run / "agent.pid") is not None:
        different = [name for name in Config.__struct_fields__ if getattr(present, name) != getattr(config, name)]
        raise BadInput(
            f"{config.name} runs with other settings ({', '.join(different)})",
            next_step="Run `kokiris down` first; settings change only while it is down.",
        )


def _write_files(report: UpReport) -> None:
    config, layout = report.config, report.layout
    layout.root.mkdir(parents=True, exist_ok=True, mode=0o755)
    layout.tls.mkdir(exist_ok=True, mode=0o755)
    for folder in (layout.run, layout.store, layout.worker, layout.haproxy):
        folder.mkdir(exist_ok=True, mode=0o700)
    for folder in (layout.logs, layout.allocs):
        folder.mkdir(exist_ok=True, mode=0o711)
    if not layout.config.exists() or load(layout.config) != config:
        save(config, layout.config)
        report.changes.append("configuration")
    if not (layout.tls / "ca.key").exists():
        authority = new_authority(f"kokiris {config.name}", utc_now())
        write_secret(layout.tls / "ca.key", authority.key_pem)
        write_atomic(layout.tls / "ca.pem", authority.certificate_pem)
        report.changes.append("certificate authority")
    if renew(config, layout):
        report.changes.append("node certificate")
    if config.server and make_keyring(layout.variables_key):
        report.changes.append("key of the variables")
    report.secret = make_management_token(config, layout, wall_ns())
    if report.secret is not None:
        report.changes.append("management token")
    if make_operator_token(config, layout, wall_ns()):
        report.changes.append("operator token")
    layout.addons.mkdir(exist_ok=True, mode=0o711)


def _write_share(report: UpReport, share: Share | None) -> None:
    if share is not None:
        raw, path = msgspec.json.encode(share), report.layout.registry_share
        if not path.exists() or path.read_bytes() != raw:
            write_secret(path, raw)
            report.changes.append("account for the registry")
    rename_registry(report.config, report.layout)


def _write_hosts(report: UpReport) -> None:
    path = Path(report.config.hosts_file)
    text = path.read_text() if path.exists() else ""
    wanted = with_block(text, report.config.name, report.config.vip_address, report.config.own_hosts())
    if rewrite(path, wanted):
        report.changes.append(f"names in {path}")


def _start_agent(report: UpReport) -> None:
    layout = report.layout
    with (layout.logs / "agent.log").open("ab") as log_file:
        child = subprocess.Popen(
            [sys.executable, "-m", "kokiris.agent.main", "--config", str(layout.config)],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    deadline = time.monotonic() + 20
    while read_pid(layout.run / "agent.pid") is None:
        if child.poll() is not None or time.monotonic() > deadline:
            raise HostError(
                f"the agent did not start: {last_line(layout.logs / 'agent.log')}",
                next_step=f"Read {layout.logs / 'agent.log'}.",
            )
        time.sleep(0.02)
    report.changes.append("agent started")


class _VipConnection(http.client.HTTPSConnection):
    """HTTPS to the VIP's address under a platform name, whatever the resolver says."""

    def __init__(self, config: Config, host: str, context: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(host, config.ports.https, timeout=timeout_s, context=context)
        self._vip = (config.vip_address, config.ports.https)
        self._tls = context

    def connect(self) -> None:
        raw = socket.create_connection(self._vip, self.timeout)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)


def vip_get(
    config: Config, layout: Layout, host: str, path: str, *, token: str = "", timeout_s: float = 5.0
) -> tuple[int, bytes]:
    """(status, body) of a GET through the VIP, its certificate checked against the infra's authority.

    Raises OSError when there is no such answer.
    """
    context = ssl.create_default_context(cafile=str(layout.tls / "ca.pem"))
    connection = _VipConnection(config, host, context, timeout_s)
    try:
        connection.request("GET", path, headers={"X-Nomad-Token": token} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error}") from error
    finally:
        connection.close()


def wait_ready(config: Config, layout: Layout, say: Say, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Returns once a leader, a ready node, discovery and routing answer through the VIP.

    Raises Unavailable naming the one that does not, with the last line of its log.
    """
    token = token_of(layout)
    steps: list[tuple[str, str, Callable[[], str]]] = [
        ("server", "server.log", lambda: _leader(config, layout)),
        ("worker", "worker.log", lambda: _ready_node(config, layout, token)),
        ("discovery", "server.log", lambda: _door(config, layout, config.addresses.consul, "/v1/status/leader", token)),
        ("routing", "edge.log", lambda: _door(config, layout, config.addresses.traefikadmin, "/ping")),
    ]
    deadline = time.monotonic() + timeout_s
    for name, log_name, problem_of in steps:
        shown = False
        while problem := problem_of():
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{name} of {config.name} is not ready after {timeout_s:.0f} s: {problem}",
                    next_step=f"Read {layout.logs / log_name}: {last_line(layout.logs / log_name)}",
                )
            if not shown:
                say(f"waiting for {name}")
                shown = True
            time.sleep(0.1)


def _leader(config: Config, layout: Layout) -> str:
    return _door(config, layout, config.addresses.nomad, "/v1/status/leader")


def _door(config: Config, layout: Layout, host: str, path: str, token: str = "") -> str:
    try:
        status, body = vip_get(config, layout, host, path, token=token)
    except OSError as error:
        return f"https://{host}{path} does not answer ({error})"
    return "" if status == 200 else f"https://{host}{path} answers {status} {body[:100].decode(errors='replace')}"


def _ready_node(config: Config, layout: Layout, token: str) -> str:
    try:
        status, body = vip_get(config, layout, config.addresses.nomad, "/v1/nodes", token=token)
    except OSError as error:
        return f"nomad does not answer ({error})"
    if status != 200:
        return f"/v1/nodes answers {status}"
    nodes = msgspec.json.decode(body)
    for node in nodes:
        drivers = node.get("Drivers") or {}
        if node["Name"] == config.node_name and node["Status"] == "ready":
            return "" if (drivers.get("docker") or {}).get("Healthy") else "its docker driver is not healthy"
    return f'node "{config.node_name}" is not ready'


def token_of(layout: Layout) -> str:
    """The secret in the token file; "" when there is none. Raises HostError when this user may not read it."""
    try:
        text = layout.token_file.read_text()
    except FileNotFoundError:
        return ""
    except PermissionError as error:
        raise HostError(
            f"{layout.token_file} is not readable for this user", next_step="Ask its owner, or use sudo."
        ) from error
    found = [line.partition("=")[2] for line in text.splitlines() if line.startswith("export NOMAD_TOKEN=")]
    return found[0].strip("'\"") if found else ""


def last_line(path: Path) -> str:
    """The last line of a log file, for an error message; empty when there is none."""
    if not path.exists():
        return ""
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
