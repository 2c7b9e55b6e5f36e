"""Running the HTTP and TCP checks of services registered through the API. Done by the server that leads."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import msgspec

from kokiris.discovery.catalog import Catalog, CheckKey
from kokiris.discovery.definitions import DEFAULT_TIMEOUT_NS, Definition, definition_of, seconds
from kokiris.discovery.model import CRITICAL, PASSING, WARNING

OUTPUT_LIMIT_BYTES = 4096

Report = Callable[[CheckKey, str, str], Awaitable[None]]
"""Given the check, its status and output."""


@dataclass(slots=True)
class Progress:
    """Counts results against the thresholds of a definition. Pure."""

    status: str
    successes: int = 0
    failures: int = 0

    def judge(self, result: str, definition: Definition) -> str:
        """The status after one more `result`: it changes only after as many in a row as the definition asks for."""
        if result == CRITICAL:
            self.successes, self.failures = 0, self.failures + 1
            enough = self.failures > int(definition.FailuresBeforeCritical or 0)
        else:
            self.failures, self.successes = 0, self.successes + 1
            enough = self.successes > int(definition.SuccessBeforePassing or 0)
        if enough:
            self.status = result
        return self.status


async def check_http(session: aiohttp.ClientSession, definition: Definition) -> tuple[str, str]:
    """(status, output): 2xx passes, 429 warns, all else is critical."""
    method = definition.Method or "GET"
    headers: list[tuple[str, str]] = []
    for name, values in msgspec.json.decode(definition.Header or "{}", type=dict[str, list[str]]).items():
        headers += [(name, value) for value in values]
    try:
        async with session.request(
            method,
            definition.HTTP,
            headers=headers,
            data=definition.Body or None,
            allow_redirects=not definition.DisableRedirects,
            timeout=aiohttp.ClientTimeout(total=seconds(definition.Timeout, DEFAULT_TIMEOUT_NS)),
            ssl=not definition.TLSSkipVerify,
        ) as response:
            body = (await response.content.read(OUTPUT_LIMIT_BYTES)).decode(errors="replace")
            status = PASSING if 200 <= response.status < 300 else WARNING if response.status == 429 else CRITICAL
            return status, f"HTTP {method} {definition.HTTP}: {response.status} {response.reason} Output: {body}"
    except TimeoutError:
        return CRITICAL, f"HTTP {method} {definition.HTTP}: no answer in time"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return CRITICAL, f"HTTP {method} {definition.HTTP}: {error}"


async def check_tcp(definition: Definition) -> tuple[str, str]:
    """(status, output): passing when the connection opens."""
    host, _, port = definition.TCP.rpartition(":")
    try:
        async with asyncio.timeout(seconds(definition.Timeout, DEFAULT_TIMEOUT_NS)):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except TimeoutError:
        return CRITICAL, f"TCP connect {definition.TCP}: no answer in time"
    except (OSError, ValueError, OverflowError) as error:
        return CRITICAL, f"TCP connect {definition.TCP}: {error}"
    return PASSING, f"TCP connect {definition.TCP}: Success"


class CheckRunner:
    """One task per check, kept in step with the catalog by `follow`."""

    def __init__(self, catalog: Catalog, report: Report) -> None:
        self._catalog = catalog
        self._report = report
        self._tasks: dict[CheckKey, tuple[dict[str, str], asyncio.Task[None]]] = {}
        self._session: aiohttp.ClientSession | None = None

    def follow(self) -> None:
        """Starts and stops tasks so that exactly the checks now defined are run."""
        wanted: dict[CheckKey, dict[str, str]] = {}
        for owner, added in self._catalog.added_checks.items():
            for check_id, check in added.items():
                if check.Type in {"http", "tcp"} and check.Definition is not None:
                    wanted[*owner, check_id] = check.Definition
        for at in [at for at, (definition, _) in self._tasks.items() if wanted.get(at) != definition]:
            self._tasks.pop(at)[1].cancel()
        for at, raw in wanted.items():
            if at not in self._tasks:
                task = asyncio.create_task(self._keep_checking(at), name=f"check {at[2]}")
                self._tasks[at] = (raw, task)

    async def _keep_checking(self, at: CheckKey) -> None:
        check = self._catalog.added_checks[at[:2]][at[2]]
        definition = definition_of(check)
        assert definition is not None  # noqa: S101 - only such checks are followed
        progress = Progress(check.Status)
        interval_s = seconds(definition.Interval)
        await asyncio.sleep(random.uniform(0, min(interval_s, 1.0)))  # noqa: S311 - so that not all run at once
        while True:
            if definition.kind == "http":
                result, output = await check_http(self._http(), definition)
            else:
                result, output = await check_tcp(definition)
            await self._report(at, progress.judge(result, definition), output[:OUTPUT_LIMIT_BYTES])
            await asyncio.sleep(interval_s)

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, force_close=True)  # a kept connection would hide a dead listener
            self._session = aiohttp.ClientSession(
                connector=connector, headers={"User-Agent": "Consul Health Check"}, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def stop(self) -> None:
        """Ends all tasks. Idempotent."""
        tasks = [task for _, task in self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
