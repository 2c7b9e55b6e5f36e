"""Keeping processes alive: when to restart is decided here, purely; the loop around it only acts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from kokiris.agent.nursery.client import fork
from kokiris.agent.processes import ProcessSpec, Running, adopt, read_pid, start
from kokiris.kernel.errors import HostError

log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 15.0
STEADY_S = 30.0
"""A process that ran this long was well: its next end starts the back-off anew."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often it ended in a row without having run steadily."""

    failures: int = 0

    def after_end(self, ran_s: float) -> tuple[Backoff, float]:
        """(the next state, seconds to wait before the restart): 0.1, 0.2, 0.4 … 15; a steady one restarts at once."""
        failures = 0 if ran_s >= STEADY_S else self.failures
        return Backoff(failures + 1), min(MAX_DELAY_S, FIRST_DELAY_S * 2**failures)


class Supervised:
    """One process that should always run, until `stop`."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.running: Running | None = None
        self.restarts = 0
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def begin(self) -> None:
        """Adopts or starts it, and keeps it alive from now on."""
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")

    async def _keep(self) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            await self._replace_stranger()
            began = loop.time()
            try:
                self.running = adopt(self.spec) or await self._start()
            except HostError as error:
                log.error("%s", error.message)
                self.running = None
            if self.running is not None:
                await self._watch(self.running)
            if self._stopping.is_set():
                return
            backoff, delay_s = backoff.after_end(loop.time() - began)
            self.restarts += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _start(self) -> Running | None:
        return start(self.spec) if self.spec.nursery is None else await fork(self.spec, self._stopping)

    async def _watch(self, running: Running) -> None:
        """Until it has ended, by itself or because it should."""
        log.info("%s runs as %d%s", self.spec.name, running.pid, " (adopted)" if running.adopted else "")
        ended = asyncio.create_task(running.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._stopping.is_set():
            await running.stop(self.spec.stop_signal, self.spec.stop_timeout_s)
        code = await ended
        if not self._stopping.is_set():
            log.warning("%s ended (%s); restarting", self.spec.name, "code unknown" if code is None else f"code {code}")

    async def _replace_stranger(self) -> None:
        """Ends a process of an older spec (another version, another setting) before ours starts."""
        record = read_pid(self.spec.pid_file)
        if record is not None and record.fingerprint != self.spec.fingerprint():
            log.info("%s: replacing process %d of an older configuration", self.spec.name, record.pid)
            old = Running(record, None, adopted=True)
            await old.stop(self.spec.stop_signal, self.spec.stop_timeout_s)

    async def stop(self) -> None:
        """Ends it for good; idempotent."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        self.spec.pid_file.unlink(missing_ok=True)
