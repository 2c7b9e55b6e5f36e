"""Commits of the core: conditional, tried again from fresh state on conflict, visible in memory when they return."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from kokiris.kernel.errors import Busy
from kokiris.orchestrator.core.draft import Draft
from kokiris.store.contract import Condition, Store

T = TypeVar("T")

ATTEMPTS = 12
"""Each attempt starts from the state that made the previous one fail: many mean many writers of one object."""


class Applied(Protocol):
    """A materialised part of the store: `kokiris.store.follow.Follower`."""

    async def wait_for(self, revision: int) -> None:
        """Returns once every commit up to `revision` is visible in memory."""
        ...


class Commits:
    """The one door through which the core writes."""

    def __init__(self, store: Store, followers: Sequence[Applied]) -> None:
        self._store = store
        self._followers = followers

    async def write(self, decide: Callable[[], tuple[Draft, T]], fence: Condition | None = None) -> tuple[int, T]:
        """Commits what `decide` drafts from the present state; on conflict waits for the winner and decides again.

        Returns (revision, what decide gave besides the draft). An empty draft commits nothing; its revision is 0.
        What `decide` raises ends it. Raises Busy when every attempt lost, as it does once `fence` no longer holds.
        """
        for attempt in range(ATTEMPTS):
            draft, result = decide()
            if not draft:
                return 0, result
            revision = await self.attempt(draft, fence)
            if revision is not None:
                return revision, result
            if attempt > 2:
                await asyncio.sleep(random.uniform(0, 0.002 * 2**attempt))  # noqa: S311 - spreads, protects nothing
        raise Busy("too many concurrent changes of the same object")

    async def attempt(self, draft: Draft, fence: Condition | None = None) -> int | None:
        """One commit: its revision once visible in memory, or None when a condition did not hold (memory is then as
        new as what made it fail)."""
        conditions = draft.conditions if fence is None else [*draft.conditions, fence]
        result = await self._store.commit(conditions, draft.puts, sorted(draft.deletes))
        await self.visible(result.revision)
        return result.revision if result.succeeded else None

    async def visible(self, revision: int) -> None:
        """Returns once memory reflects every commit up to `revision`."""
        for follower in self._followers:
            await follower.wait_for(revision)
