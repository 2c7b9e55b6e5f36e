"""A second look at the catalog: what it shows of jobs must follow from the orchestrator's state.

It does by construction, since both are written together. The leader checks nevertheless, and mends: what a defect or a
commit that had to be cut in slices left behind does not stay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence

from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.instances import draft_instances_safely
from kokiris.store.contract import Condition

log = logging.getLogger(__name__)

EVERY_S = 60.0
ORPHANS_PER_PASS = 1000
ALLOCS_PER_SLICE = 200
"""So many are looked at between two turns of the event loop."""


class CatalogAudit:
    """Compares and mends, a slice at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def run(self, fence: Condition) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.mend(fence)

    async def mend(self, fence: Condition) -> int:
        """One pass over everything; how many keys had to be mended."""
        mended = 0
        await self._side_by_side()
        for drafted in self._drafts():
            if drafted and await self._context.commits.attempt(drafted, fence) is not None:
                mended += len(drafted.puts) + len(drafted.deletes)
            await self._side_by_side()
        if mended:
            log.warning("catalog: %d entries did not follow from the state of the jobs and were mended", mended)
        return mended

    async def _side_by_side(self) -> None:
        """State and catalog follow the store each on its own: only at the same revision can they be compared."""
        state, catalog = self._context.state, self._context.catalog
        await asyncio.sleep(0)
        while state.revision != catalog.revision:
            await self._context.commits.visible(max(state.revision, catalog.revision))
            await asyncio.sleep(0.001)

    def _drafts(self) -> Iterator[Draft]:
        yield self._orphans()
        ids = [alloc.ID for alloc in self._context.state.allocs.values() if not alloc.client_terminal()]
        for start in range(0, len(ids), ALLOCS_PER_SLICE):
            yield self._slice(ids[start : start + ALLOCS_PER_SLICE])

    def _slice(self, alloc_ids: Sequence[str]) -> Draft:
        draft, state = Draft(), self._context.state
        for alloc_id in alloc_ids:
            alloc = state.allocs.get(alloc_id)
            node = state.nodes.get(alloc.NodeID) if alloc is not None else None
            if alloc is not None and node is not None:
                draft_instances_safely(self._context, draft, alloc, alloc.Client, node)
        return draft

    def _orphans(self) -> Draft:
        """Instances of allocations that are over or gone."""
        draft, state = Draft(), self._context.state
        for instance in list(self._context.catalog.all_instances()):
            alloc = state.allocs.get(instance.AllocID)
            if instance.AllocID and (alloc is None or alloc.terminal()):
                key = self._context.catalog_keys.instance(instance.ID)
                draft.expect(key, instance.ModifyIndex)
                draft.delete(key)
            if len(draft.deletes) >= ORPHANS_PER_PASS:
                break
        return draft
