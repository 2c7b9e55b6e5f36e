"""Which fields a day's documents have, of which types: no index says so itself. Pure, but for what it is handed."""

from __future__ import annotations

import msgspec

from kokiris.logs.index.schema import MAX_PATHS
from kokiris.logs.model import Indexed


class FieldFacts(msgspec.Struct, kw_only=True):
    """Of one field: how many entries hold a text, and how many a number."""

    texts: int = 0
    numbers: int = 0


class Catalogue(msgspec.Struct, kw_only=True):
    """Of one day. Counts are of entries seen and may exceed those kept after a crash; paths are never missing."""

    version: int = 1
    entries: int = 0
    raw_bytes: int = 0
    min_time_us: int = 0
    max_time_us: int = 0
    fields: dict[str, FieldFacts] = msgspec.field(default_factory=dict)
    overflow: int = 0
    """Values under paths beyond MAX_PATHS: found by their words only."""

    def add(self, entry: Indexed, raw_bytes: int) -> bool:
        """Counts it in. True when a path is new: the catalogue must be stored before the index commits it."""
        self.min_time_us = min(self.min_time_us, entry.time_us) if self.entries else entry.time_us
        self.max_time_us = max(self.max_time_us, entry.time_us)
        self.entries += 1
        self.raw_bytes += raw_bytes
        new, fields = False, self.fields
        for name in entry.keywords:
            if (known := fields.get(name)) is not None:
                known.texts += 1
            else:
                new = self._count(name, number=False) or new
        for name in entry.integers:
            new = self._count(name, number=True) or new
        for path, values in entry.attributes.items():
            first = values[0] if isinstance(values, list) else values
            new = self._count(path, number=isinstance(first, float)) or new
        return new

    def _count(self, name: str, *, number: bool) -> bool:
        facts = self.fields.get(name)
        new = facts is None
        if facts is None:
            if len(self.fields) >= MAX_PATHS:
                self.overflow += 1
                return False
            facts = self.fields[name] = FieldFacts()
        if number:
            facts.numbers += 1
        else:
            facts.texts += 1
        return new


def merged(catalogues: list[Catalogue]) -> dict[str, FieldFacts]:
    """The fields of several days."""
    total: dict[str, FieldFacts] = {}
    for catalogue in catalogues:
        for name, facts in list(catalogue.fields.items()):  # another thread adds to it
            known = total.setdefault(name, FieldFacts())
            known.texts += facts.texts
            known.numbers += facts.numbers
    return total
