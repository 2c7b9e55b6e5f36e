"""The client's registry through the VIP (TLS, token authentication) against its container directly.

Blobs of random bytes by `curl`, over plain HTTP from the container and over HTTPS from the VIP, turn about (dockerd
speaks HTTP/1.1, others HTTP/2); then what a user sees of it: `docker push` and `docker pull`. Brings up a whole infra;
run it through `make bench`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench.table import Report, Row, main
from tests.scenarios.infra import Infra
from tests.scenarios.infra import run as command

ROUNDS = 5
BLOB_MB = 64
IMAGE_ROUNDS = 3
LAYERS, LAYER_MB = 3, 16
MB = 1_000_000
REPOSITORY = "bench/blob"


async def run(report: Report) -> None:
    """Needs root and nothing listening on the usual ports."""
    report.progress("bringing an infra up")
    infra = await asyncio.to_thread(Infra.bring_up, "sqlite")
    try:
        with TemporaryDirectory(prefix="kokiris-bench-") as folder:
            await asyncio.to_thread(_blobs, report, infra, Path(folder))
            await asyncio.to_thread(_images, report, infra, Path(folder))
    finally:
        await asyncio.to_thread(command, ["make", "down", "PURGE=1"])


@dataclass(frozen=True, slots=True)
class _Door:
    """A way to the registry. `headers` is a file: a token is no argument of a command line."""

    name: str
    address: str
    protocol: str
    headers: Path
    authority: Path

    def timed(self, *options: str | Path) -> tuple[float, str]:
        """(seconds, Location) of one request."""
        form = "%{http_code} %{time_total} %header{location}"
        done = command(
            ["curl", "-sS", self.protocol, "-o", "/dev/null", "-w", form, "-H", f"@{self.headers}",
             "--cacert", self.authority, *options]
        ).stdout.split(" ")  # fmt: skip
        assert done[0].startswith("2"), done
        return float(done[1]), done[2]

    def upload(self, blob: Path, digest: str) -> float:
        """Seconds of the three requests that a push makes for a layer."""
        begun_s, where = self.timed("-X", "POST", f"{self.address}/v2/{REPOSITORY}/blobs/uploads/")
        sent_s, where = self.timed("-X", "PATCH", "-T", blob, self._whole(where))
        ended_s, _ = self.timed("-X", "PUT", f"{self._whole(where)}&digest={digest}")
        return begun_s + sent_s + ended_s

    def _whole(self, where: str) -> str:
        return where if where.startswith("http") else self.address + where

    def download(self, digest: str) -> float:
        return self.timed(f"{self.address}/v2/{REPOSITORY}/blobs/{digest}")[0]


def _doors(infra: Infra, folder: Path) -> list[_Door]:
    """The container itself first: the baseline."""
    ids = command(["docker", "ps", "-q", "--filter", "label=kokiris.task=distribution"]).stdout.split()
    address = command(["docker", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", ids[0]]).stdout.strip()
    headers, authority = folder / "headers", infra.layout.tls / "ca.pem"
    headers.write_text(f"Authorization: Bearer {_token(infra, folder)}\n")
    vip = f"https://{infra.config.addresses.registry}"
    return [
        _Door("direct", f"http://{address}:5000", "--http1.1", headers, authority),
        _Door("VIP, HTTP/1.1", vip, "--http1.1", headers, authority),
        _Door("VIP, HTTP/2", vip, "--http2", headers, authority),
    ]


def _token(infra: Infra, folder: Path) -> str:
    host = infra.config.addresses.registry
    login = folder / "login"
    login.write_text(f'user = "token:{infra.token}"\n')
    asked = f"https://{host}/token?service={host}&scope=repository:{REPOSITORY}:pull,push"
    answer = infra.curl(asked, "-K", str(login))
    return str(msgspec.json.decode(answer.body)["token"])


def _blobs(report: Report, infra: Infra, folder: Path) -> None:
    taken_s: dict[tuple[str, str], list[float]] = {}
    blob = folder / "blob"
    for number in range(ROUNDS):
        doors = _doors(infra, folder)  # with a fresh token
        for door in doors if number % 2 else reversed(doors):
            content = os.urandom(BLOB_MB * MB)
            blob.write_bytes(content)
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            taken_s.setdefault(("push", door.name), []).append(door.upload(blob, digest))
            taken_s.setdefault(("pull", door.name), []).append(door.download(digest))
    for verb in ("push", "pull"):
        rates = {at: BLOB_MB / statistics.median(taken_s[verb, at]) for at in (one.name for one in doors)}
        for at, rate in rates.items():
            ratio = None if at == "direct" else rate / rates["direct"]
            conditions = f"curl, {BLOB_MB} MB of random bytes, " + ("HTTP" if ratio is None else "TLS; vs direct")
            row = Row(f"registry: {verb} of a blob, {at}", rate, "MB/s", ROUNDS, ratio=ratio, conditions=conditions)
            report.add(row)


def _images(report: Report, infra: Infra, folder: Path) -> None:
    host = infra.config.addresses.registry
    environment = {"DOCKER_CONFIG": str(folder / "docker"), "DOCKER_BUILDKIT": "0"}
    login = ["docker", "login", "-u", "token", "--password-stdin", host]
    command(login, env=environment, stdin=infra.token)
    push_s, pull_s = [], []
    for number in range(IMAGE_ROUNDS):
        image = f"{host}/bench/image:{number}"
        context = folder / f"context{number}"
        context.mkdir()
        for layer in range(LAYERS):
            (context / f"f{layer}").write_bytes(os.urandom(LAYER_MB * MB))
        copies = "".join(f"COPY f{layer} /\n" for layer in range(LAYERS))
        (context / "Dockerfile").write_text(f"FROM scratch\n{copies}")
        command(["docker", "build", "-q", "-t", image, context], env=environment)
        push_s.append(_seconds(partial(command, ["docker", "push", "-q", image], env=environment)))
        command(["docker", "rmi", image], env=environment)
        pull_s.append(_seconds(partial(command, ["docker", "pull", "-q", image], env=environment)))
    conditions = f"{LAYERS} layers of {LAYER_MB} MB of random bytes; dockerd compresses, hashes, unpacks"
    for verb, taken_s in (("push", push_s), ("pull", pull_s)):
        rate = LAYERS * LAYER_MB / statistics.median(taken_s)
        report.add(Row(f"registry: docker {verb}, VIP", rate, "MB/s", IMAGE_ROUNDS, conditions=conditions))


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(run)
