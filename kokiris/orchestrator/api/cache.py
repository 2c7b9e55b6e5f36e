"""Objects as JSON, kept while the object is the same: state never changes an object in place, it replaces it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

LIMIT = 20_000


class Encodings:
    """Values derived from shared immutable objects, by key. Bounded: emptied when `LIMIT` is reached.

    `sources` are compared by identity, so a value is used exactly as long as everything it came from is unchanged.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}
        self._shelves: dict[Hashable, dict[str, tuple[Any, ...]]] = {}

    def shelf(self, name: Hashable) -> dict[str, tuple[Any, ...]]:
        """A cache of its own for a hot path, which compares the sources and keeps to `LIMIT` by itself."""
        return self._shelves.setdefault(name, {})

    def get(self, key: Hashable, sources: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """The kept value for `key` if made of these very `sources`, else what `make` gives now."""
        kept = self._kept.get(key)
        if kept is not None and len(kept[0]) == len(sources):
            for old, new in zip(kept[0], sources, strict=True):
                if old is not new and not (type(old) is int and old == new):
                    break
            else:
                return kept[1]
        if len(self._kept) >= self._limit:
            self._kept.clear()
        value = make()
        self._kept[key] = (sources, value)
        return value
