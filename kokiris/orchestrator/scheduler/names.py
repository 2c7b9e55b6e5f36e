"""The n of `job.group[n]`: which indexes are in use, and which are given next."""

from __future__ import annotations

from collections.abc import Iterable


class NameIndex:
    """Indexes in use by the allocations of a group; freed ones are given again, lowest first."""

    def __init__(self, count: int, used: Iterable[int]) -> None:
        self._count = count
        self._used = set(used)

    def next(self, wanted: int) -> list[int]:
        """The `wanted` lowest free indexes, which are then in use."""
        found: list[int] = []
        index = 0
        while len(found) < wanted:
            if index not in self._used:
                found.append(index)
            index += 1
        self._used.update(found)
        return found

    def next_canaries(self, wanted: int, canaries: Iterable[int], replaced: Iterable[int]) -> list[int]:
        """Indexes for new canaries: those of the allocations they will replace, then free ones, then new ones."""
        existing = set(canaries)
        inside = [index for index in sorted(set(replaced) - existing) if index < self._count]
        free = [index for index in range(self._count) if index not in self._used and index not in existing]
        found = (inside + free)[:wanted]
        beyond = max([self._count - 1, *self._used, *existing, *found]) + 1
        found += range(beyond, beyond + wanted - len(found))
        self._used.update(found)
        return found

    def highest(self, wanted: int) -> set[int]:
        """The `wanted` highest indexes in use, which are then free."""
        found = set(sorted(self._used, reverse=True)[:wanted])
        self._used -= found
        return found

    def release(self, index: int) -> None:
        """`index` is free again."""
        self._used.discard(index)
