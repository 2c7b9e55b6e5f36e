"""Who answered a request: HAProxy knows slots and servers by short names of the edge's making, people know routers,
services, jobs and allocations."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import msgspec

from kokiris.discovery.model import alloc_of_instance
from kokiris.logs.model import Document, Origin

log = logging.getLogger(__name__)

REMEMBERED = 20_000
"""Servers that HAProxy no longer has, and allocations: lines of theirs may still come."""
_SLOT = re.compile(r"s(\d{5})")
ENTRY_POINTS = frozenset({"web", "websecure"})
"""HAProxy's word for the router of what it answered itself: no router took it."""
_OF_JOB = ("namespace", "job", "group")


class EdgeNames(msgspec.Struct, kw_only=True):
    """`<data>/haproxy/edge.json`, as far as it matters. Services and routers are qualified: "shop@consulcatalog"."""

    slots: dict[str, int] = msgspec.field(default_factory=dict)
    """Service → number of its slot."""
    instances: dict[str, str] = msgspec.field(default_factory=dict)
    """Server → the catalog's instance."""
    routers: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)
    """Router → its service and rule."""
    owners: dict[str, str] = msgspec.field(default_factory=dict)
    """Service → an instance of it, were it the last one."""


class AccessTargets:
    """`complete` names what answered; what is not known stays as HAProxy calls it.

    `origin` tells whose an allocation is; None for one that this node does not know."""

    def __init__(self, file: Path, origin: Callable[[str], Origin | None]) -> None:
        self._file = file
        self._origin = origin
        self._read_at = 0
        self._services: dict[int, str] = {}
        self._routers: dict[str, list[tuple[str, str]]] = {}
        self._instances: OrderedDict[str, str] = OrderedDict()
        self._origins: OrderedDict[str, Document] = OrderedDict()
        self._owners: dict[str, str] = {}

    def refresh(self) -> None:
        """Reads the edge's file if it has changed. Without one nothing is named."""
        try:
            changed_at = self._file.stat().st_mtime_ns
            if changed_at == self._read_at:
                return
            names = msgspec.json.decode(self._file.read_bytes(), type=EdgeNames)
        except (OSError, msgspec.MsgspecError):
            return
        self._read_at = changed_at
        self._services = {number: service for service, number in names.slots.items()}
        self._owners = names.owners
        self._routers = {}
        for router, (service, rule) in names.routers.items():
            self._routers.setdefault(service, []).append((router, rule))
        self._instances.update(names.instances)
        while len(self._instances) > max(REMEMBERED, 2 * len(names.instances)):
            self._instances.popitem(last=False)

    def complete(self, document: Document) -> None:
        """Replaces the names in `router` and `service`, and adds `alloc`, `namespace`, `job` and `group`."""
        router = str(document.get("router", ""))
        if router in ENTRY_POINTS:
            del document["router"]
        slot = _SLOT.fullmatch(router)
        service = self._services.get(int(slot[1])) if slot is not None else None
        if service is None:
            return
        instance = self._instances.get(str(document.get("service", "")), "")
        document["router"] = self._router(service, str(document.get("host", "")))
        document["service"] = _bare(service)
        if alloc_id := alloc_of_instance(instance):
            document["alloc"] = alloc_id
        document.update(self._whose(alloc_id or alloc_of_instance(self._owners.get(service, ""))))

    def _router(self, service: str, host: str) -> str:
        """The one that leads to the service; of several, the one whose rule has the host. Else the service's name."""
        routers = self._routers.get(service, [])
        if len(routers) > 1:
            name = host.partition(":")[0].lower()
            routers = [one for one in routers if f"`{name}`" in one[1].lower()]
        return _bare(routers[0][0] if len(routers) == 1 else service)

    def _whose(self, alloc_id: str) -> Document:
        known = self._origins.get(alloc_id)
        if known is None:
            origin = self._origin(alloc_id) if alloc_id else None
            if origin is None:
                return {}
            fields = origin.fields()
            known = self._origins[alloc_id] = {name: fields[name] for name in _OF_JOB if name in fields}
            while len(self._origins) > REMEMBERED:
                self._origins.popitem(last=False)
        return known


def _bare(name: str) -> str:
    """Without the provider."""
    return name.partition("@")[0]
