"""What has to happen in discovery without anybody asking: run by the server that leads, and by no other."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterator

from kokiris.discovery import registration
from kokiris.discovery.catalog import CheckKey
from kokiris.discovery.checks import CheckRunner
from kokiris.discovery.deadlines import Deadlines
from kokiris.discovery.definitions import definition_of, seconds
from kokiris.discovery.model import CRITICAL, CheckState, Session
from kokiris.discovery.sessions import end_session
from kokiris.discovery.writer import CatalogWriter, Change
from kokiris.kernel.errors import KokirisError

log = logging.getLogger(__name__)

SESSION_TTL_FACTOR = 2
"""As in Consul: a session ends after between one and two TTLs of silence; clients ask for half of what they want."""
DEREGISTER_AFTER_MIN_S = 60.0


class Upkeep:
    """Expires sessions and TTL checks, runs HTTP and TCP checks, removes instances critical for too long."""

    def __init__(
        self, writer: CatalogWriter, *, tick_s: float = 0.5, deregister_after_min_s: float = DEREGISTER_AFTER_MIN_S
    ) -> None:
        self._writer = writer
        self._catalog = writer.catalog
        self._tick_s = tick_s
        self._deregister_after_min_s = deregister_after_min_s
        self._sessions: Deadlines[str] = Deadlines()
        self._ttl_checks: Deadlines[CheckKey] = Deadlines()
        self._critical: Deadlines[CheckKey] = Deadlines()
        self._runner = CheckRunner(self._catalog, self._set_check)

    async def run(self) -> None:
        """Until cancelled. A failing store is logged and tried again."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._runner.follow()
                try:
                    await self._tick(loop.time())
                except KokirisError as error:
                    log.warning("discovery: %s", error.message)
                await asyncio.sleep(self._tick_s)
        finally:
            await self._runner.stop()

    async def _tick(self, now_s: float) -> None:
        for at in self._ttl_checks.overdue(self._ttls(), now_s):
            await self._writer.change(
                functools.partial(registration.expire_check, self._catalog, self._writer.keys, at)
            )
        for session_id in self._sessions.overdue(self._session_ttls(), now_s):
            log.info("discovery: session %s has run out of time", session_id)
            await end_session(self._writer, session_id)
        for session in [one for one in self._catalog.sessions.values() if self._is_broken(one)]:
            log.info("discovery: session %s ends with its node or check", session.ID)
            await end_session(self._writer, session.ID)
        for at in self._critical.overdue(self._critical_limits(), now_s):
            await self._remove_critical(at)
        await self._drop_orphans()

    def _added(self) -> Iterator[tuple[CheckKey, CheckState]]:
        for owner, added in self._catalog.added_checks.items():
            for check_id, check in added.items():
                yield (*owner, check_id), check

    def _ttls(self) -> Iterator[tuple[CheckKey, int, float]]:
        for at, check in self._added():
            definition = definition_of(check) if check.Type == "ttl" else None
            if definition is not None and definition.TTL:
                pulse = self._catalog.pulses.get(("check", registration.pulse_name(at)), 0)
                yield at, pulse, seconds(definition.TTL)

    async def _set_check(self, at: CheckKey, status: str, output: str) -> None:
        try:
            await self._writer.change(
                lambda: registration.set_check(self._catalog, self._writer.keys, at, status, output)
            )
        except KokirisError as error:
            log.warning("discovery: result of check %s not stored: %s", at[2], error.message)

    def _session_ttls(self) -> Iterator[tuple[str, int, float]]:
        for session in self._catalog.sessions.values():
            allowed_s = seconds(session.TTL) * SESSION_TTL_FACTOR
            if allowed_s > 0:
                yield session.ID, self._catalog.pulses.get(("session", session.ID), 0), allowed_s

    def _is_broken(self, session: Session) -> bool:
        """Whether the node is gone, or it or a check the session leans on has failed."""
        node = self._catalog.nodes.get(session.Node)
        if node is None:
            return True
        if node.Status == CRITICAL and "serfHealth" in session.NodeChecks:
            return True
        watched = {*session.NodeChecks, *(one.get("ID", "") for one in session.ServiceChecks or ())}
        if watched <= {"serfHealth"}:
            return False
        checks = [*node.Checks, *(check for one in self._catalog.instances_on(session.Node) for check in one.Checks)]
        return any(check.Status == CRITICAL and check.CheckID in watched for check in checks)

    def _critical_limits(self) -> Iterator[tuple[CheckKey, int, float]]:
        for at, check in self._added():
            definition = definition_of(check) if check.Status == CRITICAL and at[1] else None
            if definition is not None and definition.DeregisterCriticalServiceAfter:
                after_s = seconds(definition.DeregisterCriticalServiceAfter)
                yield at, 0, max(after_s, self._deregister_after_min_s)

    async def _remove_critical(self, at: CheckKey) -> None:
        node, instance_id, check_id = at
        log.info("discovery: service %s is removed, check %s was critical for too long", instance_id, check_id)

        def decide() -> Change[None]:
            change = Change(None)
            instance = self._catalog.instances.get((node, instance_id))
            if instance is not None and not instance.AllocID:
                registration.drop_instance(self._catalog, self._writer.keys, change, node, instance_id)
            return change

        await self._writer.change(decide)

    async def _drop_orphans(self) -> None:
        """Checks added to a job's instance outlive it: its job knows nothing of them."""
        catalog = self._catalog
        orphans = [at for at, _ in self._added() if at[1] and at[:2] not in catalog.instances]
        if orphans:

            def decide() -> Change[None]:
                change = Change(None)
                still = [at for at in orphans if at in catalog.check_revisions and at[:2] not in catalog.instances]
                registration.drop_checks(self._writer.keys, change, still)
                return change

            await self._writer.change(decide)
