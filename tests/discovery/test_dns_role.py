"""The dns role as a process, fed over mutual TLS by the server role as a process; both killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from kokiris.access.authority import new_authority, utc_now
from kokiris.access.bootstrap import make_management_token
from kokiris.access.node_certificate import renew
from kokiris.infra.config import Config, Layout, Ports, save
from kokiris.kernel.files import write_secret
from kokiris.variables.sealing import make_keyring
from tests.engines.ports import free_ports

DEADLINE_S = 60.0


@dataclass
class Roles:
    """The processes of one small infra."""

    config: Config
    layout: Layout
    token: str
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, role: str) -> None:
        command = [sys.executable, "-m", "kokiris.agent.role", role, "--config", str(self.layout.config)]
        with (self.layout.root / f"{role}.log").open("ab") as log:
            self.running[role] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def kill(self, role: str) -> None:
        process = self.running.pop(role)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)

    def register(self, name: str, address: str) -> bool:
        """Whether the server has taken it."""
        url = f"http://127.0.0.1:{self.config.ports.consul}/v1/agent/service/register"
        body = {"Name": name, "Address": address, "Port": 80}
        with contextlib.suppress(requests.ConnectionError):
            return requests.put(url, json=body, headers={"X-Consul-Token": self.token}, timeout=10).status_code == 200
        return False

    def dig(self, name: str, *more: str) -> str:
        command = ["dig", "@127.0.0.1", "-p", str(self.config.ports.dns), "+short", "+tries=1", "+time=20", name, *more]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < end, "".join(one.read_text() for one in self.layout.root.glob("*.log"))
            time.sleep(0.05)


@pytest.fixture
def roles(tmp_path: Path) -> Iterator[Roles]:
    nomad, consul, rpc, dns = free_ports(4)
    layout = Layout(tmp_path)
    config = Config(
        client="demo",
        infra="rec1",
        data_dir=str(tmp_path),
        ports=Ports(nomad=nomad, consul=consul, rpc=rpc, dns=dns),
        servers=[f"127.0.0.1:{rpc}"],
        hosts_file="",
    )
    authority = new_authority("test", utc_now())
    for name, content in (("ca.key", authority.key_pem), ("ca.pem", authority.certificate_pem)):
        write_secret(layout.tls / name, content)
    renew(config, layout)
    token = make_management_token(config, layout, time.time_ns())
    make_keyring(layout.variables_key)
    assert token is not None
    save(config, layout.config)
    made = Roles(config, layout, token)
    try:
        yield made
    finally:
        for role in list(made.running):
            made.kill(role)


def test_answers_follow_the_servers_and_survive_them(roles: Roles) -> None:
    roles.start("dns")  # before any server: it waits for one
    roles.start("server")
    roles.until(lambda: roles.register("web", "10.0.0.1"))
    roles.until(lambda: roles.dig("web.service.consul") == "10.0.0.1")
    assert roles.dig("node1.node.consul") == roles.config.bind_address
    roles.kill("server")
    assert roles.dig("web.service.consul") == "10.0.0.1"
    roles.start("server")
    roles.until(lambda: roles.register("web", "10.0.0.2"))
    roles.until(lambda: roles.dig("web.service.consul", "+tcp") == "10.0.0.2")
    roles.kill("dns")
    roles.start("dns")
    roles.until(lambda: roles.dig("web.service.consul") == "10.0.0.2")
    logs = "".join(one.read_text() for one in roles.layout.root.glob("*.log"))
    assert roles.token not in logs
    assert "Traceback" not in logs


def test_sigterm_ends_it_in_order_and_a_taken_port_is_an_error(roles: Roles) -> None:
    roles.start("dns")
    roles.until(lambda: "dns answers" in (roles.layout.root / "dns.log").read_text())
    second = subprocess.run(
        [sys.executable, "-m", "kokiris.agent.role", "dns", "--config", str(roles.layout.config)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert second.returncode == 1
    assert str(roles.config.ports.dns) in second.stderr
    assert "Traceback" not in second.stderr
    process = roles.running.pop("dns")
    process.terminate()
    assert process.wait(30) == 0
