"""Debian's docker-registry behind a HAProxy with TLS, our token server, and a `docker` command line: all real."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from kokiris.access.model import Keys as AccessKeys
from kokiris.access.tokens import NewToken, TokenTable, new_token
from kokiris.http.app import asgi
from kokiris.http.serve import HttpServer
from kokiris.orchestrator.model.job import Job
from kokiris.registry.accounts import Accounts, AccountWrites
from kokiris.registry.api.app import make_registry_app
from kokiris.registry.collect import Collector
from kokiris.registry.layout import distribution_config
from kokiris.registry.model import Keys
from kokiris.registry.scopes import parse_grant
from kokiris.registry.service import RegistryService
from kokiris.registry.signing import SigningKeys
from kokiris.registry.tokenserver import Issuing
from kokiris.store.contract import Event
from kokiris.store.follow import Follower
from kokiris.store.opening import open_store
from tests.engines.certificates import make_certificates
from tests.engines.dockerd import Dockerd, busybox_tar
from tests.engines.ports import free_port

DISTRIBUTION = shutil.which("docker-registry") or "/usr/bin/docker-registry"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    text: str


@dataclass
class Bed:
    """One registry under test, reached as `address` over TLS."""

    folder: Path
    dockerd: Dockerd
    address: str = ""
    accounts: Accounts = field(default_factory=lambda: Accounts(Keys("demo")))
    service: RegistryService = None  # set by `open_bed`
    jobs: list[Job] = field(default_factory=list)
    management: NewToken = field(default_factory=lambda: new_token("m", "management", 1))
    keys: SigningKeys = None  # set by `open_bed`
    _registry_port: int = 0
    _registry: subprocess.Popen[bytes] | None = None

    @property
    def writes(self) -> AccountWrites:
        return self.service.writes

    @property
    def storage(self) -> Path:
        return self.folder / "blobs"

    async def docker(self, *arguments: str, config: str = "docker", stdin: str = "") -> Done:
        """The command line; `config` is a login of its own."""
        process = await asyncio.create_subprocess_exec(
            "docker", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={
                **os.environ,
                "DOCKER_HOST": f"unix://{self.dockerd.socket}",
                "DOCKER_CONFIG": str(self.folder / config),
                "no_proxy": "127.0.0.1",
            },
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(stdin.encode()), 180)
        return Done(process.returncode or 0, out.decode())

    async def login(self, user: str, secret: str, config: str = "docker") -> Done:
        """`docker login`."""
        return await self.docker(
            "login", "-u", user, "--password-stdin", self.address, config=config, stdin=secret + "\n"
        )

    async def login_user(self, name: str, *grants: str, config: str | None = None) -> str:
        """A new account, logged in under a configuration of its own name. Its secret."""
        secret = await self.writes.add(name, "user", [parse_grant(one) for one in grants])
        done = await self.login(name, secret, config or name)
        assert done.code == 0, done.text
        return secret

    def image(self, name: str, content: str = "", size_bytes: int = 0) -> str:
        """An image of our own in dockerd, under the registry's name."""
        reference = f"{self.address}/{name}"
        extra = {"content": (content or name).encode() + os.urandom(size_bytes)}
        self.dockerd.import_image(reference, busybox_tar(extra))
        return reference

    async def forget(self, reference: str) -> None:
        """Removes an image from dockerd, so that a pull has to fetch it."""
        await self.docker("rmi", "-f", reference)

    async def digest(self, name: str, tag: str) -> str | None:
        """The digest a tag has in the registry; None when it answers 404. A pull by a client of our own."""
        status, headers, _ = await self.get(f"/v2/{name}/manifests/{tag}", name)
        return headers["docker-content-digest"] if status == 200 else None

    async def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """A call of the management API with the infra's token."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, f"https://{self.address}/api/v1/{path}", json=body, ssl=False,
                headers={"X-Nomad-Token": self.management.secret},
            ) as answer,
        ):  # fmt: skip
            text = await answer.text()
            return answer.status, (msgspec.json.decode(text) if answer.status == 200 else text)

    async def get(self, path: str, repository: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """A request with a token for everything on `repository`."""
        accept = (
            "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, "
            "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.index.v1+json"
        )
        headers = {"Authorization": f"Bearer {await self.bearer(repository)}", "Accept": accept}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"https://{self.address}{path}", headers=headers, ssl=False) as answer,
        ):
            headers = {name.lower(): text for name, text in answer.headers.items()}
            return answer.status, headers, await answer.read()

    async def bearer(self, repository: str) -> str:
        """An access token for everything on a repository."""
        auth = base64.b64encode(f"token:{self.management.secret}".encode()).decode()
        params = {"service": self.address, "scope": f"repository:{repository}:pull,push,delete"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"https://{self.address}/token", params=params, headers={"Authorization": f"Basic {auth}"}, ssl=False
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["token"])

    async def start_registry(self, **options: str) -> None:
        """The process; returns once it answers 401."""
        text = distribution_config(
            realm=f"https://{self.address}/token",
            service=self.address,
            token_issuer="test",
            http_secret="0123456789abcdef",
            address=f"127.0.0.1:{self._registry_port}",
            storage=str(self.storage),
            bundle=str(self.folder / "bundle.pem"),
        )
        for before, after in options.items():
            text = text.replace(before, after)
        (self.folder / "bundle.pem").write_bytes(self.keys.bundle())
        (self.folder / "config.yml").write_text(text)
        with (self.folder / "registry.log").open("ab") as log:
            self._registry = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                [DISTRIBUTION, "serve", str(self.folder / "config.yml")], stdout=log, stderr=log, start_new_session=True
            )
        await until_answers(f"http://127.0.0.1:{self._registry_port}/v2/", 401, self._registry, self.folder)

    def stop_registry(self, *, kill: bool = False) -> None:
        """In order, or `kill -9`. Idempotent."""
        if self._registry is not None:
            self._registry.kill() if kill else self._registry.terminate()
            self._registry.wait(30)
            self._registry = None


async def until_answers(url: str, status: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Waits for the first answer. Fails with the logs when the process ends before."""
    deadline = time.monotonic() + 60
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url, ssl=False) as answer:
                    assert answer.status == status, (answer.status, await answer.text())
                    return
            except aiohttp.ClientError:
                logs = _logs(folder)
                assert process.poll() is None, logs
                assert time.monotonic() < deadline, logs
                await asyncio.sleep(0.05)


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.glob("*.log"))


HAPROXY = """
global
  maxconn 500
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend vip
  bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto https
  use_backend ours if {{ path /token }} or {{ path_beg /api/ }}
  default_backend distribution
backend ours
  server ours 127.0.0.1:{ours}
backend distribution
  server distribution 127.0.0.1:{distribution}
"""


@asynccontextmanager
async def open_bed(folder: Path, dockerd: Dockerd) -> AsyncIterator[Bed]:
    """Everything up; everything down afterwards, by process id."""
    bed = Bed(folder, dockerd)
    store = await open_store("sqlite", path=folder / "store", endpoints=[], tls=None)
    port, bed._registry_port = free_port(), free_port()
    bed.address = f"127.0.0.1:{port}"
    bed.keys = SigningKeys(folder / "keys")
    bed.keys.ensure()
    follower = Follower(store, bed.accounts.root, bed.accounts.load, bed.accounts.apply)
    await follower.start()
    table = TokenTable(AccessKeys("demo", "rec1").root)
    record = _management(bed.management, table)
    bed.service = RegistryService(
        client="demo", issuing=Issuing(bed.address, "test"), keys=bed.keys.folder, storage=bed.storage, store=store,
        accounts=bed.accounts, wait_for=follower.wait_for, infra_tokens=table,
        token_lives=lambda accessor: accessor == record, jobs=lambda: bed.jobs,
    )  # fmt: skip
    bed.service.collector = Collector(bed.storage, settle_s=0.2)
    ours = HttpServer(asgi(make_registry_app(bed.service)))
    await ours.start()
    haproxy = start_haproxy(folder, port, ours.port, bed._registry_port)
    try:
        bed.storage.mkdir()
        await bed.start_registry()
        await until_answers(f"https://{bed.address}/v2/", 401, haproxy, folder)
        yield bed
    finally:
        haproxy.terminate()
        haproxy.wait(30)
        bed.stop_registry()
        await ours.stop()
        await follower.stop()
        await store.close()


def _management(token: NewToken, table: TokenTable) -> str:
    key = AccessKeys("demo", "rec1").token(token.record.AccessorID)
    table.apply(1, [Event(key, msgspec.msgpack.encode(token.record), 1, 1)])
    return token.record.AccessorID


def start_haproxy(folder: Path, port: int, ours: int, distribution: int) -> subprocess.Popen[bytes]:
    """TLS, and the same paths as on the VIP."""
    made = make_certificates(folder / "tls")
    pem = folder / "tls" / "both.pem"
    pem.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    (folder / "haproxy.cfg").write_text(HAPROXY.format(port=port, pem=pem, ours=ours, distribution=distribution))
    with (folder / "haproxy.log").open("ab") as log:
        return subprocess.Popen(
            ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], stdout=log, stderr=log, start_new_session=True
        )
