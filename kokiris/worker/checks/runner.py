"""Keeps asking the checks of one allocation. The shell around `judgement`, which decides."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from kokiris.discovery.model import CRITICAL, PASSING, WARNING
from kokiris.kernel.clock import NowNs
from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.model.allocwire import AllocCheckStatus
from kokiris.worker.allocs.health import CheckHealth
from kokiris.worker.checks.judgement import Result, Tally, count_for_restart, next_delay_s, observe
from kokiris.worker.checks.probe import Prober
from kokiris.worker.checks.targets import Addresses, CheckSpec, endpoint

_NOMAD_WORDS = {PASSING: "success", WARNING: "warning", CRITICAL: "failure"}
PENDING = "pending"
NOT_RUNNING = Result(CRITICAL, "the task does not run")


@dataclass(slots=True)
class _Watched:
    spec: CheckSpec
    tally: Tally = field(default_factory=Tally)
    newest: Result | None = None
    newest_at_ns: int = 0
    started_at_ns: int = 0
    asking: asyncio.Task[None] | None = None


class CheckSet:
    """All checks of one allocation. `changed` is called when a status changes, `restart` when one asks for it."""

    def __init__(
        self,
        prober: Prober,
        now_ns: NowNs,
        changed: Callable[[], None],
        restart: Callable[[CheckSpec, str], None],
    ) -> None:
        self._prober = prober
        self._now_ns = now_ns
        self._changed = changed
        self._restart = restart
        self._watched: dict[str, _Watched] = {}
        self._addresses = Addresses((), "")

    def configure(self, specs: Iterable[CheckSpec], addresses: Addresses) -> None:
        """Takes over a new set; what is unchanged keeps its history."""
        wanted = {spec.id: spec for spec in specs}
        for gone in set(self._watched) - set(wanted):
            self._silence(self._watched.pop(gone))
        self._addresses = addresses
        for ident, spec in wanted.items():
            present = self._watched.get(ident)
            if present is None or present.spec != spec:
                if present is not None:
                    self._silence(present)
                self._watched[ident] = _Watched(spec)

    def relocate(self, addresses: Addresses) -> None:
        """Where to ask from now on."""
        self._addresses = addresses

    def tasks_run(self, started_at_ns: Mapping[str, int]) -> None:
        """Starts asking for tasks that run (name → start time), and fails at once the checks of those that do not.

        The key "" is the group: there when all main tasks run.
        """
        for watched in self._watched.values():
            start_ns = started_at_ns.get(watched.spec.task, 0)
            if start_ns and (watched.asking is None or start_ns != watched.started_at_ns):
                self._silence(watched)
                if start_ns != watched.started_at_ns:
                    watched.tally, watched.started_at_ns = Tally(), start_ns
                    watched.newest = None
                watched.asking = asyncio.ensure_future(self._ask_on(watched))
            elif not start_ns and watched.asking is not None:
                self._silence(watched)
                watched.tally = replace(watched.tally, status=CRITICAL, good_since_ns=0, good=0)
                watched.newest, watched.newest_at_ns = NOT_RUNNING, self._now_ns()
                watched.started_at_ns = 0

    def restore(self, statuses: Mapping[str, AllocCheckStatus], started_at_ns: Mapping[str, int]) -> None:
        """What an earlier worker knew of tasks that still run: an instance must not fail because we were away."""
        for ident, watched in self._watched.items():
            known, start_ns = statuses.get(ident), started_at_ns.get(watched.spec.task, 0)
            if known is None or known.Status != _NOMAD_WORDS[PASSING] or not start_ns:
                continue
            watched.started_at_ns = start_ns
            watched.newest_at_ns = known.Timestamp * SECOND_NS
            watched.newest = Result(PASSING, known.Output, known.StatusCode)
            watched.tally = Tally(status=PASSING, ever_passed=True, good_since_ns=max(1, watched.newest_at_ns))

    def statuses(self) -> dict[str, AllocCheckStatus]:
        """Check id → newest word, as it is reported."""
        return {ident: self._status(watched) for ident, watched in self._watched.items()}

    def health(self) -> list[CheckHealth]:
        """For judging a rolling update."""
        return [
            CheckHealth(watched.tally.good_since_ns, required=watched.spec.check.OnUpdate != "ignore")
            for watched in self._watched.values()
        ]

    def close(self) -> None:
        """Asks no more."""
        for watched in self._watched.values():
            self._silence(watched)

    def _status(self, watched: _Watched) -> AllocCheckStatus:
        spec, newest = watched.spec, watched.newest
        return AllocCheckStatus(
            ID=spec.id,
            Check=spec.name,
            Group=spec.group,
            Mode="readiness" if spec.check.OnUpdate == "ignore" else "healthiness",
            Output=newest.output if newest else "nomad: waiting to run",
            Service=spec.service,
            Task=spec.task,
            Status=_NOMAD_WORDS[watched.tally.status] if newest else PENDING,
            StatusCode=newest.code if newest else 0,
            Timestamp=watched.newest_at_ns // SECOND_NS,
        )

    async def _ask_on(self, watched: _Watched) -> None:
        check = watched.spec.check
        interval_s = max(0.1, check.Interval / SECOND_NS)
        while True:
            result = await self._prober.ask(check, *endpoint(watched.spec, self._addresses))
            now_ns = self._now_ns()
            before = watched.tally.status if watched.newest else PENDING
            watched.tally = observe(watched.tally, result, check, now_ns)
            watched.newest, watched.newest_at_ns = result, now_ns
            watched.tally, wants_restart = count_for_restart(
                watched.tally, result, check, now_ns - watched.started_at_ns
            )
            if watched.tally.status != before:
                self._changed()
            if wants_restart:
                self._restart(watched.spec, f'healthcheck: check "{watched.spec.name}" unhealthy')
            delay_s = next_delay_s(watched.tally, interval_s)
            await asyncio.sleep(delay_s * random.uniform(0.95, 1.0))  # noqa: S311 - spreads load

    def _silence(self, watched: _Watched) -> None:
        if watched.asking is not None:
            watched.asking.cancel()
            watched.asking = None
