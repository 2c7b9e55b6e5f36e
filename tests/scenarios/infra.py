"""A whole infra, driven as a user drives it: by `make`, `kokiris`, `curl`. Runs inside `scripts/isolated.sh` only."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from kokiris.access.exports import parse_exports
from kokiris.agent.processes import read_pid
from kokiris.infra.config import Config, Layout, load

Completed = subprocess.CompletedProcess[str]

ROOT = Path(__file__).resolve().parents[2]
KOKIRIS = ROOT / ".venv" / "bin" / "kokiris"
DEADLINE_S = 180.0


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """A command from the repository's root, with its whole output in the failure."""
    done = subprocess.run(
        [str(one) for one in argv], cwd=ROOT, env={**_own_environment(), **(env or {})}, text=True, capture_output=True,
        input=stdin, timeout=600, check=False, stdin=subprocess.DEVNULL if stdin is None else None,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{argv} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def _own_environment() -> dict[str, str]:
    """Without what a `make` around the tests hands down to a `make` within them."""
    return {name: text for name, text in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}


def until(condition: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S) -> Any:
    """Waits for a condition and returns its value; a generous deadline, because machines are slow and noisy.

    A condition that fails an assertion (a command that exits non-zero, an answer that is not there) does not hold yet;
    what it last said is in the failure.
    """
    deadline = time.monotonic() + timeout_s
    said = ""
    while True:
        try:
            value = condition()
        except AssertionError as error:
            value, said = None, f"\n{error}"
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}{said}"
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Reply:
    """What curl got."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass(slots=True)
class Infra:
    """An infra that is up."""

    store: str
    layout: Layout
    config: Config
    up_output: str = ""
    exports: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def bring_up(store: str) -> Infra:
        """`make up` for SQLite; for etcd the same steps with `-store etcd`."""
        if store == "sqlite":
            output = run(["make", "up"]).stdout
        else:
            output = run(["scripts/up.sh", "demo", "rec1", "-store", store]).stdout
        layout = Layout("/var/lib/kokiris/demo/rec1")
        infra = Infra(store, layout, load(layout.config), output)
        infra.exports = parse_exports(layout.token_file)
        return infra

    @property
    def token(self) -> str:
        return self.exports["NOMAD_TOKEN"]

    def kokiris(
        self, *arguments: str | Path, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A `kokiris` command with the exports in its environment."""
        return run([KOKIRIS, *arguments], env=self.exports, check=check, stdin=stdin)

    def curl(self, url: str, *options: str) -> Reply:
        """curl through the VIP with the infra's authority; status 0 when there was no answer."""
        done = run(
            ["curl", "-sS", "-i", "--max-time", "30", "--cacert", self.layout.tls / "ca.pem", *options, url],
            check=False,
        )
        if done.returncode != 0:
            return Reply(0, {}, done.stderr)
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        status, *lines = head.split("\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Reply(int(status.split()[1]), headers, body)

    def nomad(self, path: str, *options: str) -> Any:
        """A decoded answer of the Nomad API."""
        reply = self.curl(self.exports["NOMAD_ADDR"] + path, "-H", f"X-Nomad-Token: {self.token}", *options)
        assert reply.status == 200, reply
        return msgspec.json.decode(reply.body) if reply.body.strip() else None

    def instances(self, service: str) -> set[tuple[str, int]]:
        """(address, port) of the healthy instances in the catalog."""
        address = f"{self.exports['CONSUL_HTTP_ADDR']}/v1/health/service/{service}?passing"
        reply = self.curl(address, "-H", f"X-Consul-Token: {self.token}")
        assert reply.status == 200, reply
        found = msgspec.json.decode(reply.body)
        return {(one["Service"]["Address"], one["Service"]["Port"]) for one in found}

    def pid(self, process: str) -> int:
        """Of a supervised process; 0 when it does not run."""
        record = read_pid(self.layout.run / f"{process}.pid")
        return record.pid if record else 0

    def containers(self, job: str = "site") -> set[str]:
        """Ids of the running containers of a job's allocations."""
        found = set()
        for alloc in self.nomad(f"/v1/job/{job}/allocations"):
            label = f"label=kokiris.alloc={alloc['ID']}"
            found |= set(run(["docker", "ps", "-q", "--no-trunc", "--filter", label]).stdout.split())
        return found

    def allocs(self, job: str, status: str = "running") -> list[dict[str, Any]]:
        """The job's allocations in one client status that are wanted to run."""
        found = self.nomad(f"/v1/job/{job}/allocations")
        return [one for one in found if one["ClientStatus"] == status and one["DesiredStatus"] == "run"]

    def site_job(
        self, job: str, *, count: int = 2, image: str | None = None, title: str = "one", extra: str = ""
    ) -> str:
        """The text of a small web job, routed under `<job>.localhost`."""
        return (
            SITE.replace("@JOB@", job)
            .replace("@COUNT@", str(count))
            .replace("@TITLE@", title)
            .replace("@IMAGE@", image or site_image())
            .replace("@EXTRA@", extra)
        )

    def run_job(self, text: str, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`kokiris job run -`."""
        return self.kokiris("job", "run", *options, "-", stdin=text, check=check)

    def stop_job(self, job: str) -> None:
        """Stops and purges, and waits until its containers are gone."""
        self.kokiris("job", "stop", "-purge", job, check=False)

    def log_text(self) -> str:
        """All log files of all roles."""
        return "\n".join(path.read_text(errors="replace") for path in self.layout.logs.iterdir())


def site_image() -> str:
    """The sample site's image, built once."""
    return run(["examples/site/build.sh"]).stdout.strip()


def strip_colors(text: str) -> str:
    """Without terminal escapes."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


SITE = """
job "@JOB@" {
  group "web" {
    count = @COUNT@
    update {
      max_parallel     = 1
      min_healthy_time = "500ms"
      healthy_deadline = "60s"
    }
    network {
      mode = "bridge"
      port "http" { to = 8080 }
    }
    service {
      name = "@JOB@"
      port = "http"
      tags = ["traefik.enable=true", "traefik.http.routers.@JOB@.rule=Host(`@JOB@.localhost`)"]
      check {
        type     = "http"
        path     = "/health"
        interval = "2s"
        timeout  = "1s"
      }
    }
    task "httpd" {
      driver = "docker"
      config {
        image = "@IMAGE@"
        ports = ["http"]
      }
      env { SITE_TITLE = "@TITLE@" }
      resources {
        cpu    = 50
        memory = 24
      }
    }
    @EXTRA@
  }
}
"""
