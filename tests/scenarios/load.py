"""Steady load on one host name through the VIP, counting every request that was not answered well."""

from __future__ import annotations

import asyncio
import collections
import ssl
import threading
import time
from types import TracebackType

import aiohttp

from tests.scenarios.infra import Infra


class Load:
    """`with Load(infra, host) as load:` sends requests until the block ends; then look at `failures`.

    Half of the clients keep their connections, the other half open one per request. A failure is any answer but 200 and
    any broken connection, with its time since the start.
    """

    def __init__(self, infra: Infra, host: str, *, clients: int = 6, pause_s: float = 0.02) -> None:
        self._infra = infra
        self._host = host
        self._clients = clients
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._began = 0.0
        self.good = 0
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

    async def _client(self, context: ssl.SSLContext, *, keep: bool) -> None:
        url = f"https://{self._infra.config.vip_address}:{self._infra.config.ports.https}/"
        connector = aiohttp.TCPConnector(ssl=context, force_close=not keep)
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while not self._stop.is_set():
                try:
                    async with session.get(url, headers={"Host": self._host}, server_hostname=self._host) as answer:
                        body = await answer.text()
                        if answer.status == 200:
                            self.good += 1
                            self.bodies[body] += 1
                        else:
                            self._fail(f"{answer.status} {body[:80]}")
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    self._fail(repr(error))
                await asyncio.sleep(self._pause_s)

    def _fail(self, what: str) -> None:
        self.failures.append(f"{time.monotonic() - self._began:.3f} s: {what}")
