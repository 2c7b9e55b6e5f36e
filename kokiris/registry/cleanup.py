"""The clean-up: retention, then garbage collection, by themselves at the times of a schedule."""

from __future__ import annotations

import asyncio
import logging

from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.kernel.errors import KokirisError
from kokiris.kernel.schedule import next_after, parse_schedule
from kokiris.registry.model import CleanUp, Settings
from kokiris.registry.service import RegistryService

log = logging.getLogger(__name__)

LOOK_S = 20.0


def next_cleanup_ns(settings: Settings, last: CleanUp, *, enabled_at_ns: int, now_ns: int) -> int:
    """When the next one runs (Unix ns; `now_ns` when it is due); 0 for never. Pure.

    Times count from the last run, or from when the schedule was set or the registry enabled: a new registry is not
    cleaned at once.
    """
    if not settings.Schedule or not enabled_at_ns:
        return 0
    found = next_after(parse_schedule(settings.Schedule), max(last.At, settings.ScheduledFrom, enabled_at_ns))
    return 0 if found is None else max(found, now_ns)


class CleanUps:
    """Runs them on the server that holds the registry's data; on any other there is nothing to do."""

    def __init__(self, service: RegistryService, now_ns: NowNs = wall_ns) -> None:
        self._service, self._now_ns = service, now_ns

    async def run_schedule(self) -> None:
        """For ever, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.run_due()
            except KokirisError as error:
                log.warning("clean-up of the registry: %s", error.message)
            except Exception:
                log.exception("defect in the registry's clean-up")

    async def run_due(self) -> CleanUp | None:
        """The run, when one was due. Raises StoreError."""
        accounts, now_ns = self._service.accounts, self._now_ns()
        enabled_at_ns = self._service.tokens.enabled_at_ns
        next_ns = next_cleanup_ns(accounts.settings, accounts.last_cleanup, enabled_at_ns=enabled_at_ns, now_ns=now_ns)
        return await self.run() if 0 < next_ns <= now_ns else None

    async def run(self) -> CleanUp:
        """A run now; why it failed is in the answer. Raises StoreError, having deleted nothing: that it begins is
        written first, so that a server cut off from the store, which may not know of a new job, keeps its hands off."""
        done = CleanUp(At=self._now_ns())
        await self._service.writes.note_cleanup(done)
        try:
            done.TagsDeleted = len(await self._service.run_retention(dry_run=False))
            collected = await self._service.collect(dry_run=False, grace_s=None)
            done.BlobsFreed, done.BytesFreed = collected.blobs, collected.size_bytes
        except (KokirisError, OSError) as error:
            done.Error = error.message if isinstance(error, KokirisError) else str(error)
            log.warning("clean-up of the registry: %s", done.Error)
        done.EndedAt = self._now_ns()
        await self._service.writes.note_cleanup(done)
        return done
