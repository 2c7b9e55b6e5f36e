"""A materialised view that follows one prefix of the store."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Sequence

from kokiris.kernel.errors import StoreError, Unavailable
from kokiris.store.contract import Compacted, Event, Range, Store

log = logging.getLogger(__name__)

RELOAD_RETRY_S = 1.0
_FAIRNESS = 64
"""Batches applied in a row before other tasks get a turn."""


class Follower:
    """Loads a prefix, then applies every later commit to it, in order.

    `load` replaces the whole view by a `Range`; `apply` gets each following commit, also one that changed nothing under
    the prefix (no events): then only the revision moves. Both run in the event loop and must not raise: if one does,
    the view is wrong, following ends, and `failed` carries the error.
    """

    def __init__(
        self,
        store: Store,
        prefix: bytes,
        load: Callable[[Range], None],
        apply: Callable[[int, Sequence[Event]], None],
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._load = load
        self._apply = apply
        self._revision = 0
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._failed: asyncio.Future[None] | None = None

    @property
    def revision(self) -> int:
        """Everything up to here has been applied; 0 before `start`."""
        return self._revision

    @property
    def failed(self) -> asyncio.Future[None]:
        """Raises what ended the following; pending while all is well, cancelled by `stop`. Await it to supervise."""
        if self._failed is None:
            raise Unavailable("the view of the store has not been started")
        return self._failed

    async def start(self) -> None:
        """Loads, then follows in a task of its own. Raises StoreError when the first load fails."""
        self._failed = asyncio.get_running_loop().create_future()
        await self._reload()
        self._task = asyncio.create_task(self._follow(), name=f"follow {self._prefix.decode(errors='replace')}")

    async def wait_for(self, revision: int) -> None:
        """Returns once everything up to `revision` has been applied. Raises Unavailable when following has ended."""
        if self._revision >= revision:
            return
        if self._task is None or self._task.done():
            raise self._ended()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._order), future))
        await future

    async def stop(self) -> None:
        """Ends the following; who still waits gets Unavailable. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._failed is not None and not self._failed.done():
            self._failed.cancel()
        self._release_all()

    async def _follow(self) -> None:
        try:
            while True:
                try:
                    await self._watch()
                    raise StoreError("the store was closed")
                except Compacted:
                    log.warning("store: %r is too far behind, loading it again", self._prefix)
                    await self._reload_until_done()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("store: following %r ended", self._prefix)
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(error)
                self._failed.exception()  # seen: an unsupervised view has been logged above
            self._release_all()

    async def _watch(self) -> None:
        applied = 0
        async for batch in self._store.watch(self._prefix, self._revision + 1):
            self._apply(batch.revision, batch.events)
            self._advance(batch.revision)
            applied += 1
            if applied % _FAIRNESS == 0:
                await asyncio.sleep(0)

    async def _reload_until_done(self) -> None:
        while True:
            try:
                return await self._reload()
            except StoreError as error:
                log.warning("store: %r could not be loaded yet: %s", self._prefix, error)
                await asyncio.sleep(RELOAD_RETRY_S)

    async def _reload(self) -> None:
        found = await self._store.range(self._prefix)
        self._load(found)
        self._advance(found.revision)

    def _advance(self, revision: int) -> None:
        self._revision = max(self._revision, revision)
        while self._waiting and self._waiting[0][0] <= self._revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    def _ended(self) -> Unavailable:
        return Unavailable("the view of the store is not being kept up to date")

    def _release_all(self) -> None:
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(self._ended())
        self._waiting.clear()
