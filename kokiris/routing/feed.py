"""The catalog as the Consul API shows it, kept up to date by blocking queries: one on the list of services, one per
service that has Traefik tags. An edge sees a change milliseconds after its commit.

While no server answers, the last known state stays. Nothing is handed out before the first complete reading: an edge
that starts while the servers are away leaves HAProxy as it is.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from kokiris.discovery.model import NAMESPACE_META
from kokiris.kernel.names import PLATFORM
from kokiris.routing.model import CatalogService, Instance
from kokiris.routing.tags import any_routing

log = logging.getLogger(__name__)

WAIT_S = 60
"""How long one blocking query may stay parked. Servers answer earlier when something changes."""
ANSWER_DEADLINE_S = 15
"""How long an answer may be late before the server counts as hung."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
GONE_KEPT_S = 600.0
"""How long the index of a service that is gone is still reported."""
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError, msgspec.DecodeError)
"""No answer, or one that is not the catalog's."""
HEALTHY = frozenset({"passing", "warning"})


class Caller:
    """GET and other requests to whichever server answers. `session` is made anew after `renew` (new certificates)."""

    def __init__(self, servers: Sequence[str], new_session: Callable[[], aiohttp.ClientSession], scheme: str) -> None:
        self.bases = [f"{scheme}://{server}" for server in servers]
        self._new_session = new_session
        self._session: aiohttp.ClientSession | None = None
        self._current = 0

    def session(self) -> aiohttp.ClientSession:
        """The session in use."""
        if self._session is None or self._session.closed:
            self._session = self._new_session()
        return self._session

    @property
    def base(self) -> str:
        """The server in use."""
        return self.bases[self._current % len(self.bases)]

    def next_server(self) -> None:
        """The current one failed: the next call asks another."""
        self._current += 1

    async def renew(self) -> None:
        """Later calls use a new session; those under way end with the old one's."""
        old, self._session = self._session, None
        if old is not None:
            await old.close()

    async def close(self) -> None:
        """Idempotent."""
        await self.renew()


@dataclass(slots=True)
class CatalogView:
    """The last known state. `applied`: service → index of what is in `services`, for the release protocol."""

    services: dict[str, CatalogService] = field(default_factory=dict)
    applied: dict[str, int] = field(default_factory=dict)
    complete: bool = False


class Feed:
    """Keeps `view` up to date while `run` runs, and calls `changed` after each change."""

    def __init__(self, caller: Caller, changed: Callable[[], None]) -> None:
        self.view = CatalogView()
        self._caller = caller
        self._changed = changed
        self._tags: dict[str, tuple[str, ...]] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._gone_at: dict[str, float] = {}
        self._listed = False

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._poll("/v1/catalog/services", self._on_services)
        finally:
            for task in self._watches.values():
                task.cancel()
            await asyncio.gather(*self._watches.values(), return_exceptions=True)

    async def _poll(self, path: str, on_answer: Callable[[Any, int], None]) -> None:
        """Asks, hands over, asks again from the index answered. Never gives up."""
        index, pause_s = 0, FIRST_PAUSE_S
        while True:
            try:
                body, answered = await self._ask(path, index)
                on_answer(body, answered)
            except _FAILURES as error:
                if pause_s >= LONGEST_PAUSE_S:
                    log.warning("%s: %s; the last known state stays in service", path, error or type(error).__name__)
                self._caller.next_server()
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads load, protects nothing
                pause_s, index = min(pause_s * 2, LONGEST_PAUSE_S), 0
                continue
            pause_s = FIRST_PAUSE_S
            index = 0 if answered < index else answered  # an index that goes down starts over, as clients must

    async def _ask(self, path: str, index: int) -> tuple[Any, int]:
        query = f"?index={index}&wait={WAIT_S}s" if index else ""
        timeout = aiohttp.ClientTimeout(total=(WAIT_S * 17 / 16 if index else 0) + ANSWER_DEADLINE_S)
        async with self._caller.session().get(f"{self._caller.base}{path}{query}", timeout=timeout) as response:
            body = await response.read()
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}: {body[:200].decode('utf-8', 'replace')}")
            return msgspec.json.decode(body), int(response.headers.get("X-Consul-Index", "1"))

    def _on_services(self, body: Any, index: int) -> None:
        routed = {name: tuple(tags) for name, tags in body.items() if any_routing(tags)}
        for name in self._watches.keys() - routed.keys():
            self._watches.pop(name).cancel()
            self.view.services.pop(name, None)
            self.view.applied[name] = max(index, self.view.applied.get(name, 0))
            self._gone_at[name] = time.monotonic()
            self._tags.pop(name, None)
        for name, tags in routed.items():
            self._gone_at.pop(name, None)
            known = self.view.services.get(name)
            self._tags[name] = tags
            if known is not None and known.tags != tags:
                self.view.services[name] = CatalogService(name, tags, known.instances)
            if name not in self._watches:
                self._watches[name] = asyncio.create_task(self._watch(name), name=f"watch {name}")
        self._forget_gone()
        self._listed = True
        self._announce()

    def _forget_gone(self) -> None:
        horizon = time.monotonic() - GONE_KEPT_S
        for name in [name for name, at in self._gone_at.items() if at < horizon]:
            del self._gone_at[name]
            self.view.applied.pop(name, None)

    async def _watch(self, name: str) -> None:
        def on_answer(body: Any, index: int) -> None:
            service = CatalogService(name, self._tags.get(name, ()), instances_of(body))
            self.view.applied[name] = index
            if self.view.services.get(name) != service:
                self.view.services[name] = service
            self._announce()

        await self._poll(f"/v1/health/service/{quote(name, safe='')}", on_answer)

    def _announce(self) -> None:
        if self._listed and not self.view.complete:
            self.view.complete = self._watches.keys() <= self.view.services.keys()
        if self.view.complete:
            self._changed()


def instances_of(entries: list[dict[str, Any]]) -> tuple[Instance, ...]:
    """Instances out of `/v1/health/service/<s>`, judged by all their checks and their node's, in stable order."""
    found = []
    for entry in entries:
        service, node = entry["Service"], entry["Node"]
        found.append(
            Instance(
                id=service["ID"],
                address=service.get("Address") or node.get("Address") or "",
                port=int(service.get("Port") or 0),
                tags=tuple(service.get("Tags") or ()),
                healthy=all(check["Status"] in HEALTHY for check in entry.get("Checks") or ()),
                created=int(service.get("CreateIndex") or 0),
                platform=(service.get("Meta") or {}).get(NAMESPACE_META) == PLATFORM,
            )
        )
    return tuple(sorted(found, key=lambda one: one.id))
