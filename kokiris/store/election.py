"""One leader among several processes, by a key under a lease; and a fence that keeps a deposed one from writing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from kokiris.kernel.errors import StoreError
from kokiris.store.contract import Compacted, Condition, Lease, Store

log = logging.getLogger(__name__)

RETRY_S = 1.0
_RENEWALS_PER_TTL = 3


class Leadership:
    """Campaigns for `key`, writing `identity` under it.

    At any revision at most one holder's `fence` holds: a leader adds it to each commit made as leader, so that what it
    writes after losing the lead is refused (`succeeded` False), however late it notices. An `identity` belongs to one
    process at a time: finding its own name there, a restarted process takes over at once instead of waiting `ttl_s`.
    """

    def __init__(self, store: Store, key: bytes, identity: str, ttl_s: float) -> None:
        self._store = store
        self._key = key
        self._identity = identity.encode()
        self._ttl_s = ttl_s
        self._fence: Condition | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_leader(self) -> bool:
        """Whether this process leads as far as it knows; only `fence` in a commit makes sure."""
        return self._fence is not None

    @property
    def fence(self) -> Condition:
        """The condition of a leader's commits. Raises StoreError when this process does not lead."""
        if self._fence is None:
            raise StoreError("this server is not the leader", next_step="Ask the leader.")
        return self._fence

    def start(
        self, on_elected: Callable[[Condition], Awaitable[None]], on_lost: Callable[[], Awaitable[None]]
    ) -> asyncio.Task[None]:
        """`run` in a task of its own, which `stop` ends. The task fails when a callback raises: supervise it."""
        self._task = asyncio.create_task(self.run(on_elected, on_lost), name="leadership")
        return self._task

    async def run(
        self, on_elected: Callable[[Condition], Awaitable[None]], on_lost: Callable[[], Awaitable[None]]
    ) -> None:
        """Campaigns until `stop`. `on_elected` begins the leader's work and returns, `on_lost` ends it.

        Each `on_elected` is followed by one `on_lost` before the next campaign, also at the end and when cancelled.
        """
        while not self._stopping.is_set():
            try:
                lease = await self._campaign()
            except StoreError as error:
                log.warning("election: %s", error)
                await self._pause(RETRY_S)
                continue
            if lease is not None:
                await self._reign(lease, on_elected, on_lost)
                await self._pause(RETRY_S)  # whoever lost the lead lets the others have a try

    async def stop(self) -> None:
        """Gives the lead back at once, so that another takes over without waiting for the lease. Idempotent."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _campaign(self) -> Lease | None:
        """One attempt: the lease if elected; else None, once the present leader is gone or we are told to stop."""
        found = await self._store.get(self._key)
        if found is not None and found.value != self._identity:
            await self._until_vacant(found.mod_revision)
            return None
        lease = await self._store.lease(self._ttl_s)
        try:
            condition = Condition(self._key, found.mod_revision if found is not None else 0)
            result = await self._store.commit([condition], {self._key: self._identity}, lease=lease)
        except BaseException:
            await self._release(lease)
            raise
        if not result.succeeded:
            await self._release(lease)
            return None
        self._fence = Condition(self._key, result.revision)
        return lease

    async def _until_vacant(self, revision: int) -> None:
        """Waits for a change of the key after `revision`, or for `stop`."""
        ends = [asyncio.create_task(self._changed(revision)), asyncio.create_task(self._stopping.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(ends)

    async def _changed(self, revision: int) -> None:
        try:
            async for batch in self._store.watch(self._key, revision + 1):
                if any(event.key == self._key for event in batch.events):
                    return
        except Compacted:  # so much has happened since that it is worth another look
            return

    async def _reign(
        self, lease: Lease, on_elected: Callable[[Condition], Awaitable[None]], on_lost: Callable[[], Awaitable[None]]
    ) -> None:
        log.info("election: %s leads", self._identity.decode())
        try:
            fence = self.fence
            ends = [
                asyncio.create_task(self._keep(lease)),
                asyncio.create_task(self._changed(fence.mod_revision)),  # someone else took or removed the key
                asyncio.create_task(self._stopping.wait()),
            ]
            try:
                await on_elected(fence)
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _cancel(ends)
        finally:
            self._fence = None
            log.info("election: %s leads no more", self._identity.decode())
            try:
                await on_lost()
            finally:
                await self._release(lease)

    async def _keep(self, lease: Lease) -> None:
        """Renews until the lease is lost, or may be: its time is counted from before the last renewal that worked."""
        loop = asyncio.get_running_loop()
        good_until = loop.time() + lease.ttl_s
        while not self._stopping.is_set():
            await self._pause(lease.ttl_s / _RENEWALS_PER_TTL)
            asked = loop.time()
            try:
                async with asyncio.timeout_at(good_until):
                    if not await lease.keep_alive():
                        return
                good_until = asked + lease.ttl_s
            except (StoreError, TimeoutError) as error:
                log.warning("election: the lease could not be renewed: %s", error)
                if loop.time() >= good_until:
                    return

    async def _release(self, lease: Lease) -> None:
        try:
            await lease.revoke()
        except StoreError as error:
            log.warning("election: the lease ends by itself: %s", error)

    async def _pause(self, seconds: float) -> None:
        """Sleeps, but not beyond `stop`."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
