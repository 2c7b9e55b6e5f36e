"""Garbage collection: what is over and old enough is deleted, by the leader every few minutes or on demand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.instances import draft_nothing_declared
from kokiris.orchestrator.core.nodes import draft_removal
from kokiris.orchestrator.scheduler.garbage import FORCED, Ages, Garbage, collect
from kokiris.store.contract import Condition

log = logging.getLogger(__name__)

T = TypeVar("T")

EVERY_S = 300.0
KEYS_PER_COMMIT = 2000
MAX_PASSES = 5
"""Collecting one thing sets free another: segments, then evaluations, then jobs."""


class Collection:
    """Deletes in slices; each commit leaves nothing behind that memory would read wrongly."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def run(self, fence: Condition) -> None:
        """Until cancelled."""
        while True:
            await self.collect(Ages(), fence)
            await asyncio.sleep(EVERY_S)

    async def collect(self, ages: Ages = FORCED, fence: Condition | None = None) -> None:
        """Everything that can go by `ages` is gone; objects that changed meanwhile stay."""
        for _ in range(MAX_PASSES):
            garbage = collect(self._context.state, self._context.now_ns(), ages)
            count = 0
            for draft in self._drafts(garbage):
                count += 1
                if await self._context.commits.attempt(draft, fence) is None:
                    break
            if count == 0:
                return

    def _drafts(self, garbage: Garbage) -> Iterator[Draft]:
        """Segments before the parts of their allocations: without its segment a part is nothing, while a segment
        without its parts would be allocations that wait to be started."""
        parts = [*self._context.state.orphans(), *self._parts(garbage.allocs)]
        yield from self._segments(garbage.segments)
        for some in _slices(parts):
            draft = Draft()
            for key in some:
                draft.delete(key)
            yield draft
        yield from self._records(garbage)

    def _parts(self, alloc_ids: Sequence[str]) -> list[bytes]:
        keys, allocs = self._context.keys, self._context.state.allocs
        found = [allocs[one] for one in alloc_ids if one in allocs]
        desired = [keys.alloc_desired(alloc.ID) for alloc in found if alloc.Desired is not None]
        return desired + [keys.alloc_client(alloc.ID) for alloc in found if alloc.Client is not None]

    def _segments(self, stored: Iterable[bytes]) -> Iterator[Draft]:
        for some in _slices(stored):
            draft = Draft()
            for key in some:
                draft.expect(key, self._context.state.segment_revisions.get(key, 0))
                draft.delete(key)
            yield draft

    def _records(self, garbage: Garbage) -> Iterator[Draft]:
        keys, state = self._context.keys, self._context.state
        for evals in _slices(garbage.evals):
            draft = Draft()
            for one in evals:
                draft.delete(keys.evaluation(one))
            yield draft
        for deployments in _slices(garbage.deployments):
            draft = Draft()
            for one in deployments:
                draft.delete(keys.deployment(one))
            yield draft
        for name in garbage.jobs:
            draft, job = Draft(), state.job(*name)
            if job is not None:
                draft.expect(keys.job(*name), job.ModifyIndex)
                draft.delete(keys.job(*name))
                draft_nothing_declared(self._context, draft, job)
                yield draft
        for versions in _slices(garbage.versions):
            draft = Draft()
            for version in versions:
                draft.delete(keys.job_version(*version))
                draft.delete(keys.submission(*version))
            yield draft
        for node_id in garbage.nodes:
            draft, node = Draft(), state.nodes.get(node_id)
            if node is not None:
                draft_removal(self._context, draft, node)
                yield draft


def _slices(items: Iterable[T]) -> Iterator[list[T]]:
    found = list(items)
    for start in range(0, len(found), KEYS_PER_COMMIT):
        yield found[start : start + KEYS_PER_COMMIT]
