"""The logs role as a process beside the server role: tokens, collector, router lines, kill -9."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from kokiris.access.authority import new_authority, utc_now
from kokiris.access.bootstrap import make_management_token, make_operator_token
from kokiris.access.exports import parse_exports
from kokiris.access.node_certificate import renew
from kokiris.infra.config import Config, Layout, Ports, save
from kokiris.kernel.files import write_secret
from kokiris.routing.haproxy.command import haproxy_command
from kokiris.routing.haproxy.launch import prepare
from kokiris.variables.sealing import make_keyring
from tests.engines.ports import free_ports

DEADLINE_S = 60.0
SECRET = "s3cret-of-a-task"
ALLOC = "4c1d0000-1111-2222-3333-444455556666"


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

    def start_haproxy(self) -> None:
        """Answers on the VIP's port of this configuration, and knows no route."""
        prepare(self.config, self.layout)
        with (self.layout.root / "haproxy.log").open("ab") as log:
            self.running["haproxy"] = subprocess.Popen(haproxy_command(self.layout), stdout=log, stderr=log)

    def request_of(self, host: str) -> None:
        """One request, answered."""

        def answered() -> bool:
            with contextlib.suppress(requests.ConnectionError):
                url = f"http://127.0.0.1:{self.config.ports.http}/a"
                return requests.get(url, headers={"Host": host}, timeout=20).status_code == 404
            return False

        self.until(answered)

    def kill(self, role: str) -> None:
        process = self.running.pop(role)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)

    def stop(self, role: str) -> None:
        process = self.running.pop(role)
        process.terminate()
        assert process.wait(60) == 0

    def ask(self, path: str, body: dict[str, Any] | None = None, *, token: str = "") -> requests.Response | None:
        """None while nobody answers."""
        url = f"http://127.0.0.1:{self.config.ports.logs}{path}"
        headers = {"X-Nomad-Token": token or self.token}
        with contextlib.suppress(requests.ConnectionError):
            return requests.post(url, json=body or {}, headers=headers, timeout=20)
        return None

    def register(self, job: str, **given: Any) -> None:
        """A version of a small job, which finds no node to run on."""
        tasks = [{"Name": "main", "Driver": "docker", "Config": {"image": "x:1"}, "Env": {"PASSWORD": SECRET}}]
        facts = {"ID": job, "Name": job, "Datacenters": ["*"], "TaskGroups": [{"Name": "web", "Tasks": tasks}]}
        self.nomad("PUT", "/v1/jobs", {"Job": {**facts, **given}})

    def nomad(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Waits for the server."""
        url, headers = f"http://127.0.0.1:{self.config.ports.nomad}{path}", {"X-Nomad-Token": self.token}
        answers: list[requests.Response] = []

        def answered() -> bool:
            with contextlib.suppress(requests.ConnectionError):
                answers.append(requests.request(method, url, json=body, headers=headers, timeout=20))
            return bool(answers)

        self.until(answered)
        assert answers[0].status_code == 200, answers[0].text

    def found(self, kql: str) -> list[dict[str, Any]]:
        """Waits until it is answered: with 503 while the log search cannot ask a server for the token's rights."""
        answers: list[requests.Response] = []

        def answered() -> bool:
            answer = self.ask("/_search", {"query": {"kql": {"query": kql}}, "size": 1000})
            answers.extend([answer] if answer is not None and answer.status_code == 200 else [])
            return bool(answers)

        self.until(answered)
        return [hit["_source"] for hit in answers[0].json()["hits"]["hits"]]

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < end, "".join(one.read_text() for one in self.layout.root.glob("*.log"))
            time.sleep(0.05)


@pytest.fixture
def roles(tmp_path: Path) -> Iterator[Roles]:
    nomad, consul, rpc, logs, http, https = free_ports(6)
    layout = Layout(tmp_path)
    config = Config(
        client="demo",
        infra="rec1",
        data_dir=str(tmp_path),
        ports=Ports(nomad=nomad, consul=consul, rpc=rpc, logs=logs, http=http, https=https),
        servers=[f"127.0.0.1:{rpc}"],
        hosts_file="",
    )
    authority = new_authority("test", utc_now())
    for name, content in (("ca.key", authority.key_pem), ("ca.pem", authority.certificate_pem)):
        write_secret(layout.tls / name, content)
    renew(config, layout)
    token = make_management_token(config, layout, time.time_ns())
    make_operator_token(config, layout, time.time_ns())
    make_keyring(layout.variables_key)
    assert token is not None
    save(config, layout.config)
    made = Roles(config, layout, token)
    try:
        yield made
    finally:
        for role in list(made.running):
            made.kill(role)


def place_alloc(layout: Layout) -> Path:
    kept = layout.worker / "allocs" / ALLOC
    kept.mkdir(parents=True)
    allocation = {"ID": ALLOC, "Namespace": "default", "JobID": "shop", "TaskGroup": "web", "NodeName": "node1"}
    (kept / "alloc.json").write_text(json.dumps({"Allocation": allocation}))
    folder = layout.allocs / ALLOC / "alloc" / "logs"
    folder.mkdir(parents=True)
    return folder


def test_from_file_and_router_to_search(roles: Roles) -> None:
    roles.start("server")
    roles.start("logs")
    roles.until(lambda: (answer := roles.ask("/_search")) is not None and answer.status_code == 200)

    def refused() -> bool:
        """503 says that no server could be asked in time: the machine is busy."""
        wrong = roles.ask("/_search", token="11111111-2222-3333-4444-555555555555")
        assert wrong is None or wrong.status_code in {401, 503}
        return wrong is not None and wrong.status_code == 401

    roles.until(refused)
    log_file = place_alloc(roles.layout) / "httpd.stdout.0"
    with log_file.open("ab") as file:
        for number in range(200):
            file.write(b"hit %d\n" % number)
            if number == 100:
                file.flush()
                roles.until(lambda: bool(roles.found("job:shop and hit")))
                roles.kill("logs")
                roles.start("logs")
    roles.until(lambda: len(roles.found("job:shop and hit")) >= 200)
    assert sorted(int(one["message"].split()[1]) for one in roles.found("job:shop")) == list(range(200))
    roles.start_haproxy()
    roles.request_of("first.x")
    roles.until(lambda: bool(roles.found('status:404 and host:"first.x"')))
    roles.kill("logs")  # lines wait for the next one, and what it reads again is kept once
    roles.request_of("second.x")
    roles.start("logs")
    roles.until(lambda: bool(roles.found('status:404 and host:"second.x"')))
    assert len(roles.found("stream:access")) == 2
    roles.stop("logs")
    logs = "".join(one.read_text() for one in roles.layout.root.glob("*.log"))
    assert roles.token not in logs
    assert "Traceback" not in logs


def test_events_come_once_whatever_restarts(roles: Roles) -> None:
    def told() -> list[str]:
        return [one["message"] for one in roles.found("stream:event")]

    roles.start("server")
    roles.start("logs")
    roles.until(lambda: (answer := roles.ask("/_search")) is not None and answer.status_code == 200)
    roles.register("shop")
    roles.until(lambda: "Job shop is registered as version 0: 1 instance of web" in told())
    roles.until(lambda: any(one.startswith("No place for instances of job shop (1 of web)") for one in told()))

    roles.kill("logs")  # what happens meanwhile, also before the server's own restart, is not lost
    roles.register("shop", Priority=60)
    roles.nomad("DELETE", "/v1/job/shop")
    roles.register("gone")
    roles.stop("server")
    roles.start("logs")  # waits for it
    roles.start("server")
    roles.until(lambda: "Job shop is stopped (version 2)" in told())
    assert "Job shop is registered as version 1: 1 instance of web" in told()

    roles.until(lambda: roles.found("job:gone and event.type:Registered") != [])
    roles.kill("logs")
    (
        roles.layout.root / "logs" / "events.json"
    ).unlink()  # everything the server knows is read again, and is there already
    roles.nomad("DELETE", "/v1/job/gone?purge=true")
    roles.register("last")
    roles.start("logs")
    roles.until(lambda: "Job last is registered as version 0: 1 instance of web" in told())
    roles.nomad("DELETE", "/v1/job/last?purge=true")
    roles.until(lambda: "Job last is removed, with its history" in told())

    messages = [one for one in told() if one.startswith("Job ")]
    assert sorted(messages) == sorted(set(messages))
    entry = roles.found("job:shop and version:1 and event.kind:Job")[0]
    assert {name: entry[name] for name in ("infra", "namespace", "stream", "level")} == {
        "infra": "rec1", "namespace": "default", "stream": "event", "level": "info",
    }  # fmt: skip
    logs = "".join(one.read_text() for one in roles.layout.root.glob("*.log"))
    operator = parse_exports(roles.layout.operator_file)["NOMAD_TOKEN"]
    for secret in (SECRET, operator, roles.token):
        assert secret not in logs
        assert secret not in json.dumps(roles.found(""))
    assert "Traceback" not in logs


def test_a_taken_port_is_an_error(roles: Roles) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", roles.config.ports.logs))
        taken.listen()
        command = [sys.executable, "-m", "kokiris.agent.role", "logs", "--config", str(roles.layout.config)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert str(roles.config.ports.logs) in ended.stderr
    assert "Traceback" not in ended.stderr
