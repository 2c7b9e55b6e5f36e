"""Healthy instances of services, kept up to date by blocking queries while somebody needs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from kokiris.kernel.errors import KokirisError
from kokiris.worker.client import CatalogEntry

log = logging.getLogger(__name__)

WAIT_S = 60.0
RETRY_S = 1.0


class CatalogReader(Protocol):
    """The part of `client.Servers` needed here."""

    async def healthy_instances(self, service: str, index: int, wait_s: float) -> tuple[int, list[CatalogEntry]]: ...


class ServiceWatcher:
    """Shared by all templates of the node: one blocking query per service name, however many templates use it."""

    def __init__(self, catalog: CatalogReader) -> None:
        self._catalog = catalog
        self._known: dict[str, list[CatalogEntry]] = {}
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._listeners: dict[str, set[Callable[[], None]]] = {}

    def instances(self, service: str) -> list[CatalogEntry] | None:
        """As last heard; None before the first answer."""
        return self._known.get(service)

    def listen(self, service: str, changed: Callable[[], None]) -> None:
        """`changed` is called on the first answer and on every change of it."""
        self._listeners.setdefault(service, set()).add(changed)
        if service not in self._watching:
            self._watching[service] = asyncio.create_task(self._watch(service), name=f"catalog {service}")

    def leave(self, changed: Callable[[], None]) -> None:
        """Ends all listening of `changed`; services nobody listens to are forgotten."""
        for service, listeners in list(self._listeners.items()):
            listeners.discard(changed)
            if not listeners:
                del self._listeners[service]
                self._watching.pop(service).cancel()
                self._known.pop(service, None)

    def close(self) -> None:
        """Ends all queries."""
        for task in self._watching.values():
            task.cancel()
        self._watching.clear()

    async def _watch(self, service: str) -> None:
        index = 0
        while True:
            try:
                new_index, found = await self._catalog.healthy_instances(service, index, WAIT_S)
            except KokirisError as error:
                log.info("instances of service %s: %s; asking again", service, error.message)
                await asyncio.sleep(RETRY_S)
                continue
            index = new_index if new_index >= index else 0  # went back: the servers' state was restored
            self._take(service, found)

    def _take(self, service: str, found: Sequence[CatalogEntry]) -> None:
        ordered = sorted(found, key=lambda entry: (entry.Node, entry.Address, entry.Port, entry.ID))
        if self._known.get(service) == ordered:
            return
        self._known[service] = ordered
        for changed in list(self._listeners.get(service, ())):
            changed()
