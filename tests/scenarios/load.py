"""Steady load on one host name through the VIP, counting every request that was not answered well."""

from __future__ import annotations

import asyncio
import collections
import hashlib
import os
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType

import aiohttp

from tests.scenarios.infra import Infra

POSTED_BYTES = 20_000
CGI_SCRIPTS = r"""
      template {
        destination = "local/cgi-bin/digest"
        perms       = "755"
        data        = <<EOT
#!/bin/busybox sh
echo Content-Type: text/plain
echo
/bin/busybox sha256sum | /bin/busybox cut -d" " -f1
EOT
      }
      template {
        destination = "local/cgi-bin/slow"
        perms       = "755"
        data        = <<EOT
#!/bin/busybox sh
echo Content-Type: text/plain
echo
for part in 1 2 3 4 5 6; do
  echo part $part
  /bin/busybox usleep 500000
done
echo the end
EOT
      }
"""
SERVE = '["/bin/busybox", "sh", "-c", "/bin/busybox cp -r /local/cgi-bin /www/ && . /start.sh"]'


def with_scripts(job: str) -> str:
    """The site's job (`Infra.site_job`), which then also digests what is posted, and has a download of 3 s."""
    ports, env = 'ports = ["http"]', "env { SITE_TITLE"
    return job.replace(ports, f"{ports}\n entrypoint = {SERVE}", 1).replace(env, CGI_SCRIPTS + env, 1)


class Load:
    """`with Load(infra, host) as load:` sends requests until the block ends; then look at `failures`.

    Half of the clients keep their connections, the other half open one per request. A failure is any answer but 200,
    any answer that is not whole and right, and any broken connection, with its time since the start. `scripts`: the
    job was made by `with_scripts`; one client more posts bodies, two more download slowly.
    """

    def __init__(
        self, infra: Infra, host: str, *, clients: int = 6, pause_s: float = 0.02, scripts: bool = False
    ) -> None:
        self._infra = infra
        self._host = host
        self._clients = clients
        self._pause_s = pause_s
        self._scripts = scripts
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._began = 0.0
        self.good = 0
        self.posted = 0
        self.downloaded = 0
        self.bodies: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        context = ssl.create_default_context(cafile=str(self._infra.layout.tls / "ca.pem"))
        async with asyncio.TaskGroup() as group:
            for number in range(self._clients):
                group.create_task(self._client(context, keep=number % 2 == 0))
            if self._scripts:
                group.create_task(self._poster(context))
                group.create_task(self._downloader(context))
                group.create_task(self._downloader(context))

    async def _client(self, context: ssl.SSLContext, *, keep: bool) -> None:
        async with self._session(context, keep=keep) as session:
            while not self._stop.is_set():
                body = await self._ask(session, "GET", "")
                if body is not None:
                    self.good += 1
                    self.bodies[body] += 1
                await asyncio.sleep(self._pause_s)

    async def _poster(self, context: ssl.SSLContext) -> None:
        async with self._session(context, keep=True) as session:
            while not self._stop.is_set():
                sent = os.urandom(POSTED_BYTES)
                right = f"{hashlib.sha256(sent).hexdigest()}\n".__eq__
                self.posted += await self._ask(session, "POST", "cgi-bin/digest", sent, right=right) is not None
                await asyncio.sleep(self._pause_s)

    async def _downloader(self, context: ssl.SSLContext) -> None:
        async with self._session(context, keep=False) as session:
            while not self._stop.is_set():
                body = await self._ask(session, "GET", "cgi-bin/slow", right=lambda text: text.endswith("the end\n"))
                self.downloaded += body is not None

    def _session(self, context: ssl.SSLContext, *, keep: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=context, force_close=not keep)
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        data: bytes | None = None,
        right: Callable[[str], bool] = lambda text: True,
    ) -> str | None:
        """The body of a good answer; None after noting what went wrong."""
        url = f"https://{self._infra.config.vip_address}:{self._infra.config.ports.https}/{path}"
        try:
            async with session.request(
                method, url, data=data, headers={"Host": self._host}, server_hostname=self._host
            ) as answer:
                body = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._fail(f"{method} /{path}: {error!r}")
            return None
        if answer.status != 200 or not right(body):
            self._fail(f"{method} /{path}: {answer.status} {body[:80]}")
            return None
        return body

    def _fail(self, what: str) -> None:
        self.failures.append(f"{time.monotonic() - self._began:.3f} s: {what}")
