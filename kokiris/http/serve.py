"""Serving an ASGI app on a TCP address or unix socket from the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import uvicorn

from kokiris.http.tls import TlsFiles
from kokiris.kernel.errors import HostError

AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The role's main owns the signals, not the web server."""
        yield


class HttpServer:
    """One listener. `start` returns once it accepts; `stop` lets running requests finish for `grace_s`."""

    def __init__(
        self,
        app: AsgiApp,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        uds: str | None = None,
        tls: TlsFiles | None = None,
        grace_s: int = 2,
    ) -> None:
        self._tls = tls
        self._where = uds or f"{host}:{port}"
        self._config = uvicorn.Config(
            app,
            host=host,
            port=port,
            uds=uds,
            loop="none",
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            backlog=4096,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=grace_s,
            timeout_keep_alive=75,
            ssl_certfile=tls.cert_file if tls else None,
            ssl_keyfile=tls.key_file if tls else None,
            ssl_ca_certs=str(tls.ca_file) if tls else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls else ssl.CERT_NONE,
        )
        self._server = _Server(self._config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises HostError when the address cannot be bound."""
        self._task = asyncio.create_task(self._serve(), name=f"http {self._where}")
        while not self._server.started:
            if self._task.done():
                error = self._task.exception()
                raise HostError(f"cannot listen on {self._where}: {error or 'address in use'}")
            await asyncio.sleep(0.005)

    async def _serve(self) -> None:
        try:
            await self._server.serve()
        except SystemExit as error:  # uvicorn exits the process when it cannot bind
            raise OSError(f"exit code {error.code}") from error

    @property
    def port(self) -> int:
        """The TCP port it listens on: the one given, or the one the kernel chose for 0. Only while it runs."""
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    def reload_certificate(self) -> None:
        """New handshakes use the certificate files as they are now."""
        if self._tls is not None and self._config.ssl is not None:
            self._config.ssl.load_cert_chain(self._tls.cert_file, self._tls.key_file)

    async def stop(self) -> None:
        """Idempotent."""
        if self._task is None:
            return
        self._server.should_exit = True
        with contextlib.suppress(OSError):
            await self._task
        self._task = None
