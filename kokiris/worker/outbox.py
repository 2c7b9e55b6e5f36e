"""What the worker says of its allocations, on its way to the servers: the newest word on each wins, nothing is lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from kokiris.kernel.errors import KokirisError
from kokiris.orchestrator.model.alloc import AllocClient

log = logging.getLogger(__name__)

BATCH_S = 0.05
FIRST_RETRY_S = 0.2
LAST_RETRY_S = 5.0


class Pending:
    """Updates that are not acknowledged yet, at most one per allocation. No I/O."""

    def __init__(self) -> None:
        self._waiting: dict[str, AllocClient] = {}
        self._sent: dict[str, AllocClient] = {}

    def put(self, update: AllocClient) -> None:
        """Replaces what waited for the same allocation."""
        self._waiting[update.ID] = update

    def take(self) -> list[AllocClient]:
        """All that waits; it counts as under way until `acknowledge` or `give_back`."""
        self._sent, self._waiting = self._waiting, {}
        return list(self._sent.values())

    def acknowledge(self) -> None:
        """The servers have what was taken."""
        self._sent = {}

    def give_back(self) -> None:
        """They have not: it waits again, unless there is a newer word by now."""
        self._waiting = {**self._sent, **self._waiting}
        self._sent = {}

    def empty(self) -> bool:
        """Nothing waits."""
        return not self._waiting

    def unacknowledged(self) -> bool:
        """Something waits or is under way."""
        return bool(self._waiting or self._sent)


class Outbox:
    """Sends updates: at once after a quiet time, else batched, retried for ever."""

    def __init__(self, send: Callable[[Sequence[AllocClient]], Awaitable[None]]) -> None:
        self._send = send
        self._pending = Pending()
        self._something = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, update: AllocClient) -> None:
        """Will be sent."""
        self._pending.put(update)
        self._something.set()
        self._idle.clear()

    async def flushed(self, timeout_s: float) -> bool:
        """True once all has been acknowledged, False after `timeout_s`."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """For ever; cancel-safe."""
        retry_s = FIRST_RETRY_S
        while True:
            await self._something.wait()
            self._something.clear()
            if self._pending.empty():
                continue
            try:
                await self._send(self._pending.take())
            except KokirisError as error:
                self._pending.give_back()
                self._something.set()
                log.info("servers did not take the allocations' news: %s; trying again", error.message)
                await asyncio.sleep(retry_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load
                retry_s = min(LAST_RETRY_S, retry_s * 2)
            except BaseException:
                self._pending.give_back()
                raise
            else:
                self._pending.acknowledge()
                retry_s = FIRST_RETRY_S
                if not self._pending.unacknowledged():
                    self._idle.set()
                await asyncio.sleep(BATCH_S)
