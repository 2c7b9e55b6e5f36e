"""Events on their way to the index: each once, and none that retention has removed already."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kokiris.kernel.files import write_atomic
from kokiris.kernel.units import HOUR_NS
from kokiris.logs.collect.events.entry import EventEntry, shipment
from kokiris.logs.collect.shipper import Shipper

T = TypeVar("T")

REMEMBERED = 50_000
"""Ids sent lately, not to be sent again: an object's state tells of all its events whenever it changes."""


class Outlet:
    """What is put in stays in until the index has acknowledged it."""

    def __init__(self, shipper: Shipper, *, infra: str, retention_days: int) -> None:
        self._shipper = shipper
        self._infra = infra
        self._kept_ns = retention_days * 24 * HOUR_NS
        self._pending: list[EventEntry] = []
        self._sent: OrderedDict[str, None] = OrderedDict()

    def put(self, entries: Iterable[EventEntry]) -> None:
        """To be shipped; those sent before, and those older than the index keeps, are left out."""
        oldest_ns = time.time_ns() - self._kept_ns
        self._pending += [one for one in entries if one.identifier not in self._sent and one.time_ns >= oldest_ns]

    async def ship(self) -> None:
        """Returns once everything put in is acknowledged."""
        pending = list(self._pending)
        if not pending:
            return
        await self._shipper.ship([shipment(one, self._infra) for one in pending])
        del self._pending[: len(pending)]
        for one in pending:
            self._sent[one.identifier] = None
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)


def load_kept(file: Path, as_type: type[T], default: T) -> T:
    """What was saved there; `default` when there is nothing readable."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=as_type)
    except (OSError, msgspec.MsgspecError):
        return default


def save_kept(file: Path, kept: Any) -> None:
    """Raises OSError."""
    write_atomic(file, msgspec.json.encode(kept), mode=0o600)
