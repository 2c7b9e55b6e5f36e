"""Asking an instance: HTTP and TCP."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp

from kokiris.discovery.model import CRITICAL, PASSING
from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.model.service import ServiceCheck
from kokiris.worker.checks.judgement import OUTPUT_LIMIT, Result, http_status

MIN_TIMEOUT_S = 0.1


class Prober:
    """Carries out checks over one connection pool; no connection is reused, as a new client would come."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, check: ServiceCheck, address: str, port: int) -> Result:
        """Never raises: what went wrong is the result's output."""
        timeout_s = max(MIN_TIMEOUT_S, check.Timeout / SECOND_NS)
        if not address or not port:
            return Result(CRITICAL, "the check has no address: its port label is not one of the group's")
        try:
            async with asyncio.timeout(timeout_s):
                if check.Type == "tcp":
                    return await _tcp(address, port)
                if check.Type == "http":
                    return await self._http(check, address, port)
        except TimeoutError:
            return Result(CRITICAL, f"{check.Type} {address}:{port}: no answer within {timeout_s:g} s")
        except (OSError, aiohttp.ClientError, ValueError) as error:
            return Result(CRITICAL, f"{check.Type} {address}:{port}: {error}")
        return Result(CRITICAL, f'check type "{check.Type}" is not supported')

    async def close(self) -> None:
        """Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _http(self, check: ServiceCheck, address: str, port: int) -> Result:
        method, scheme = check.Method or "GET", check.Protocol or "http"
        host = f"[{address}]" if ":" in address else address
        url = f"{scheme}://{host}:{port}/{check.Path.lstrip('/')}"
        headers = [(name, value) for name, values in (check.Header or {}).items() for value in values]
        async with self._pool().request(
            method,
            url,
            headers=headers,
            data=check.Body.encode() if check.Body else None,
            allow_redirects=True,
            ssl=_unverified() if check.TLSSkipVerify else True,
            server_hostname=check.TLSServerName or None,
        ) as answer:
            body = await answer.content.read(OUTPUT_LIMIT)
            text = body.decode(errors="replace")
            output = f"HTTP {method} {url}: {answer.status} {answer.reason or ''} Output: {text}"
            return Result(http_status(answer.status), output[:OUTPUT_LIMIT], answer.status)

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "kokiris-check"}
            )
        return self._session


async def _tcp(address: str, port: int) -> Result:
    _, writer = await asyncio.open_connection(address, port)
    writer.close()
    return Result(PASSING, f"TCP connect {address}:{port}: Success")


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
