"""The edge: catalog → configuration → plan → HAProxy, at each change. The loop and its memory, no decisions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from kokiris.kernel.errors import BadInput, KokirisError
from kokiris.kernel.files import write_atomic
from kokiris.routing.certificates import CertificateStore
from kokiris.routing.configuration import Configuration, Platform, configure
from kokiris.routing.feed import CatalogView
from kokiris.routing.haproxy.driver import HaproxyDriver
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.haproxy.runtime import HaproxyAway
from kokiris.routing.model import Router
from kokiris.routing.plan import Compiler, Plan, maps_of
from kokiris.routing.rules import parse

log = logging.getLogger(__name__)

COALESCE_S = 0.002
"""Changes that come together are applied together; far below what a user notices."""
DRAIN_POLL_S = 0.05
REPORT_INTERVAL_S = 2.0
REPORT_RETRY_S = 0.2
LIVENESS_INTERVAL_S = 1.0
CERTIFICATE_PATIENCE_S = 1.5
"""How long a new route waits for its certificate before it is served with the default one."""


class LastGood(msgspec.Struct, kw_only=True):
    """The version in service of a router whose present tags are refused."""

    rule: str
    service: str
    priority: int
    entry_points: tuple[str, ...]
    source: str


class Memory(msgspec.Struct, kw_only=True):
    """What outlives the process: a service keeps its slot, a server is still known by its instance, and a refused
    router is still served as it was."""

    slots: dict[str, int] = msgspec.field(default_factory=dict)
    instances: dict[str, str] = msgspec.field(default_factory=dict)
    last_good: dict[str, LastGood] = msgspec.field(default_factory=dict)
    routers: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)
    """Router → its service and rule. The log search reads this, slots, instances and owners to name what answered."""
    owners: dict[str, str] = msgspec.field(default_factory=dict)
    """Service → one of its instances, healthy or not; without any, its last one."""


@dataclass(frozen=True, slots=True)
class Report:
    """For the release protocol: which index of each service HAProxy has, and which instances still finish requests."""

    applied: dict[str, int]
    draining: list[str]


@dataclass(slots=True)
class EdgeStatus:
    """What the panel shows. Replaced after each application."""

    configuration: Configuration = field(default_factory=Configuration)
    plan: Plan = field(default_factory=Plan)
    applied_at: float = 0.0
    haproxy_error: str = ""


class Edge:
    """Owns HAProxy's dynamic state on this node. `wake` is set by whoever has news: the feed, a certificate."""

    def __init__(
        self,
        *,
        files: HaproxyFiles,
        wake: asyncio.Event,
        driver: HaproxyDriver,
        platform: Platform,
        view: Callable[[], CatalogView],
        certificates: CertificateStore,
        send_report: Callable[[Report], Awaitable[None]],
    ) -> None:
        self.status = EdgeStatus()
        self._files = files
        self._driver = driver
        self._platform = platform
        self._view = view
        self._certificates = certificates
        self._send_report = send_report
        self._compiler = Compiler()
        self._wake = wake
        self._report_wake = asyncio.Event()
        self._report: Report | None = None
        self._memory = self._recall()
        self.status.configuration = Configuration(serving=_served(self._memory))

    async def run(self) -> None:
        """Until cancelled."""
        reporting = asyncio.create_task(self._report_for_ever(), name="edge reports")
        try:
            while True:
                await self._turn()
        finally:
            reporting.cancel()
            await self._driver.close()

    async def _turn(self) -> None:
        """Waits for something to do and does it. HAProxy being away is waited out."""
        draining = self._report is not None and bool(self._report.draining)
        pause_s = DRAIN_POLL_S if draining else LIVENESS_INTERVAL_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), pause_s)
        try:
            if self._wake.is_set():
                await asyncio.sleep(COALESCE_S)
                self._wake.clear()
                await self._apply()
            elif not draining and not await self._driver.same_process():
                await self._apply()
            if self._report is not None:
                await self._driver.remove_idle()
                self._publish(self._report.applied, await self._draining())
            self.status.haproxy_error = ""
        except HaproxyAway as error:
            if not self.status.haproxy_error:
                log.warning("%s", error.message)
            self.status.haproxy_error = error.message
            self._wake.set()
            await asyncio.sleep(0.05)
        except KokirisError as error:
            log.error("%s (%s)", error.message, error.next_step)
            self.status.haproxy_error = error.message
            await asyncio.sleep(1.0)
            self._wake.set()

    async def _apply(self) -> None:
        view = self._view()
        if not view.complete:
            return
        applied = dict(view.applied)
        configuration = configure(view.services, self._platform, self.status.configuration)
        live = await self._driver.live()
        held = {name for servers in live.servers.values() for name in servers}
        busy = [slot for slot, servers in live.servers.items() if servers]
        plan = self._compiler.plan(configuration, self._memory.slots, busy)
        known = {name: instance for name, instance in self._memory.instances.items() if name in held}
        self._remember(
            Memory(
                slots=plan.slots,
                instances={**known, **plan.instances},
                last_good=_last_good(configuration),
                routers={name: (one.service, one.rule) for name, one in configuration.serving.items()},
                owners=_owners(configuration, plan, self._memory.owners),
            )
        )
        await self._certify(plan)
        await self._driver.apply(plan.servers, maps_of(plan))
        await self._driver.forget_certificates(self._certificates.have())
        self.status.configuration, self.status.plan = configuration, plan
        self.status.applied_at = time.time()
        self._publish(applied, await self._draining())

    async def _certify(self, plan: Plan) -> None:
        """Certificates come before the routes that need them; what is not there in time follows."""
        await self._certificates.want(plan.certificates, CERTIFICATE_PATIENCE_S)
        self._driver.write_certificate_list(self._certificates.have())
        ready = self._certificates.take_ready()
        try:
            while ready:
                await self._driver.install_certificate(ready[0].name, ready[0].path, ready[0].pem)
                ready.pop(0)
        finally:
            self._certificates.give_back(ready)

    async def _draining(self) -> list[str]:
        names = [name for _, name in await self._driver.draining()]
        return sorted(self._memory.instances.get(name, name) for name in names)

    def _publish(self, applied: dict[str, int], draining: list[str]) -> None:
        report = Report(applied, draining)
        if report != self._report:
            self._report = report
            self._report_wake.set()

    async def _report_for_ever(self) -> None:
        """On each change, and every two seconds so that servers know us alive."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._report_wake.wait(), REPORT_INTERVAL_S)
            self._report_wake.clear()
            if self._report is None:
                continue
            try:
                await self._send_report(self._report)
            except (KokirisError, OSError, TimeoutError) as error:
                log.debug("report: %s", error)
                await asyncio.sleep(REPORT_RETRY_S)
                self._report_wake.set()

    def _recall(self) -> Memory:
        try:
            return msgspec.json.decode(self._files.state.read_bytes(), type=Memory)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            return Memory()

    def _remember(self, memory: Memory) -> None:
        if memory != self._memory:
            write_atomic(self._files.state, msgspec.json.encode(memory), mode=0o600)
            self._memory = memory


def _owners(configuration: Configuration, plan: Plan, before: Mapping[str, str]) -> dict[str, str]:
    owners = {name: before[name] for name in plan.slots if name in before}
    for name in plan.slots:
        service = configuration.services[name]
        owners.update((name, one.instance_id) for one in (service.servers or service.down)[:1])
    return owners


def _last_good(configuration: Configuration) -> dict[str, LastGood]:
    return {
        name: LastGood(
            rule=router.rule,
            service=router.service,
            priority=router.priority,
            entry_points=router.entry_points,
            source=router.source,
        )
        for name, router in configuration.serving.items()
        if configuration.routers[name].refused
    }


def _served(memory: Memory) -> dict[str, Router]:
    """The routers of an earlier run that only memory still knows how to serve."""
    routers = {}
    for name, good in memory.last_good.items():
        with contextlib.suppress(BadInput):
            routers[name] = Router(
                name=name,
                rule=good.rule,
                service=good.service,
                expression=parse(good.rule),
                priority=good.priority,
                entry_points=good.entry_points,
                source=good.source,
            )
    return routers
