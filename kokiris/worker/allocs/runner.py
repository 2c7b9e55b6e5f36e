"""Runs one allocation: its network, its tasks in order, its checks, its stop. The shell around `ordering`, `health`
and `report`, which decide."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import msgspec

from kokiris.kernel.errors import BadInput, KokirisError, NotFound
from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.allocwire import Allocation, AllocCheckStatus, TaskEvent, TaskState
from kokiris.orchestrator.model.job import Job, TaskGroup, replaced_when_lost
from kokiris.orchestrator.model.task import Task
from kokiris.worker.allocs.folders import AllocFolders
from kokiris.worker.allocs.health import judge
from kokiris.worker.allocs.hostports import taken_ports
from kokiris.worker.allocs.kept import KeptAlloc
from kokiris.worker.allocs.network import dynamic_ports, needs_pause, plan_of, ports_of
from kokiris.worker.allocs.report import alloc_client, health_policy, running_since, task_healths, views
from kokiris.worker.allocs.setups import Placed, SetupMaker
from kokiris.worker.checks.runner import CheckSet
from kokiris.worker.checks.targets import Addresses, CheckSpec, checks_of, instances_of
from kokiris.worker.drivers.contract import TaskSetup
from kokiris.worker.surroundings import Surroundings
from kokiris.worker.tasks import events
from kokiris.worker.tasks.ordering import Cause, Orders, kill_waves, orders
from kokiris.worker.tasks.runner import TaskRunner, TaskTemplates
from kokiris.worker.templates.rendering import TemplateSet
from kokiris.worker.templates.variables import TaskVariables

log = logging.getLogger(__name__)

RELEASE_WAIT_S = 30.0
"""How long requests that an instance has begun may take once it is to stop, and how long an edge may be away."""
RELEASE_RETRY_S = 0.5
NETWORK_RETRY_S = 1.0
TEAR_DOWN_TRIES = 30
NETWORK_PATIENCE_S = 30
"""Then the allocation fails, and the servers place another elsewhere."""


def group_of(alloc: Allocation) -> tuple[Job, TaskGroup]:
    """The job and group it runs. Raises NotFound when the allocation carries no such group."""
    groups = alloc.Job.TaskGroups or () if alloc.Job else ()
    group = next((one for one in groups if one.Name == alloc.TaskGroup), None)
    if alloc.Job is None or group is None:
        raise NotFound(f'allocation {alloc.ID}: its job has no group "{alloc.TaskGroup}"')
    return alloc.Job, group


class AllocRunner:
    """One allocation on this node. `run` is its whole life; `kept` is what an earlier worker left of it."""

    def __init__(
        self, alloc: Allocation, modify_index: int, around: Surroundings, kept: KeptAlloc | None = None
    ) -> None:
        self.alloc = alloc
        self.job, self.group = group_of(alloc)
        self.modify_index = modify_index
        self.folders = AllocFolders(around.layout, alloc.ID)
        self.ended = kept.Ended if kept else False
        self.collected = False
        """Its folder has been removed to make room."""
        self._around = around
        self._received_ns = kept.ReceivedNs if kept else around.now_ns()
        self._judged_since_ns = kept.JudgedSinceNs if kept else self._received_ns
        self._healthy = kept.Healthy if kept else None
        self._healthy_at_ns = kept.HealthyAtNs if kept else 0
        self._pause = kept.PauseContainer if kept else ""
        self._address = kept.Address if kept else ""
        self._ended_ns = kept.EndedNs if kept else 0
        self._kept_checks = kept.Checks if kept else {}
        self._is_new = kept is None and alloc.ClientStatus in {"", "pending"}
        self._lost = kept.Lost if kept else ""
        self._tasks = {
            task.Name: TaskRunner(
                task,
                self.job.Type,
                around.drivers.get(task.Driver),
                self,
                around.now_ns,
                kept=kept.Tasks.get(task.Name) if kept else None,
            )
            for task in self.group.Tasks or ()
        }
        self._changed = asyncio.Event()
        self._said: AllocClient | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._setups = SetupMaker(around)
        self._templates: dict[str, TemplateSet] = {}
        self._checks = CheckSet(around.prober, around.now_ns, self._changed.set, self._restart_for_check)

    # what others ask of it

    @property
    def tasks(self) -> dict[str, TaskRunner]:
        """By name."""
        return self._tasks

    @property
    def log_folder(self) -> Path:
        """Where the tasks' output goes."""
        return self.folders.logs

    @property
    def ended_ns(self) -> int:
        """When it ended; 0 while it has not."""
        return self._ended_ns

    def update(self, alloc: Allocation, modify_index: int) -> None:
        """Takes over the servers' newest word: a wish to stop, or another job version in place."""
        moved = alloc.DeploymentID != self.alloc.DeploymentID
        self.alloc, self.modify_index = alloc, modify_index
        self.job, self.group = group_of(alloc)
        for task in self.group.Tasks or ():
            if task.Name in self._tasks:
                self._tasks[task.Name].task = task
        if moved:
            self._judged_since_ns = self._around.now_ns()
            self._healthy, self._healthy_at_ns = None, 0
        self._configure_checks()
        self._save()
        self._changed.set()

    def restart(self, task: str, *, all_tasks: bool = False, reason: str = "User requested restart") -> None:
        """Restarts one task, or those that run. Raises NotFound, BadInput."""
        if task:
            self.task(task).restart(reason)
            return
        running = [one for one in self._tasks.values() if one.state.State == "running"]
        if not running:
            raise BadInput("no task of this allocation runs" if not all_tasks else "Task not running")
        for one in running:
            one.restart(reason)

    async def signal(self, task: str, signal: str) -> None:
        """Signals one task, or all that run. Raises NotFound, BadInput."""
        chosen = [self.task(task)] if task else [t for t in self._tasks.values() if t.state.State == "running"]
        for one in chosen:
            await one.signal(signal, "User requested signal")

    def task(self, name: str) -> TaskRunner:
        """Raises NotFound in Nomad's words."""
        if name not in self._tasks:
            raise NotFound(f'task "{name}" is not part of the allocation')
        return self._tasks[name]

    def states(self) -> dict[str, TaskState]:
        """Task → state."""
        return {name: one.state for name, one in self._tasks.items()}

    def check_statuses(self) -> dict[str, AllocCheckStatus]:
        """Check id → newest result."""
        return self._checks.statuses()

    # TaskHost: what its tasks need

    def task_changed(self, *, durable: bool) -> None:
        """See tasks.runner.TaskHost."""
        if durable:
            self._save()
        self._changed.set()

    def setup_of(self, task: Task, attempt: int, extra_env: dict[str, str]) -> TaskSetup:
        """See tasks.runner.TaskHost."""
        return self._setups.make(self._placed(), task, attempt, extra_env)

    def templates_of(self, task: Task) -> TaskTemplates | None:
        """See tasks.runner.TaskHost."""
        if not task.Templates:
            return None
        if task.Name not in self._templates:
            folders = self.folders.task(task.Name)
            self._templates[task.Name] = TemplateSet(
                task.Templates,
                folders,
                lambda: self._setups.template_env(self._placed(), task),
                self._around.services,
                TaskVariables(self._around.servers, self.alloc.ID, task.Name),
            )
        return self._templates[task.Name]

    # its life

    async def run(self) -> None:
        """Returns once it has ended and said so. Cancelled, it leaves its tasks running for a later worker."""
        if self.ended:
            self.folders.remove_secrets(self._tasks)  # an earlier worker may have died before it had
            self._say()
            return
        try:
            self.folders.make()
            self._configure_checks()
        except KokirisError as error:
            self._end_all(events.setup_failure(self._around.now_ns(), error.message), failed=True)
            return
        self._checks.restore(self._kept_checks, running_since(self.group, self.states()))
        self._save()
        self._say()
        if self._is_new and self._given_back():
            return
        if not await self._have_network():
            return
        running = [asyncio.create_task(one.run(), name=f"task {name}") for name, one in self._tasks.items()]
        try:
            self._configure_checks()  # with the network's address
            await self._until_dead()
            await self._tear_down()
            self._end()
        finally:
            self._checks.close()
            for template in self._templates.values():
                template.close()
            for task in (*running, *([self._stopping] if self._stopping else [])):
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _given_back(self) -> bool:
        """Whether a port that the servers chose is somebody else's here, whom they do not know (another infra): they
        place another one at once, with another port; nothing has failed. A port that the job names is for the start
        to find taken."""
        taken = taken_ports(dynamic_ports(self.group, ports_of(self.alloc)))
        if not taken:
            return False
        named = ", ".join(f"{port.Value} ({port.Label})" for port in taken)
        said = f"host port {named} is taken on this node by somebody else"
        anew = replaced_when_lost(self.group)
        if anew:
            self._lost = said = f"{said}: given back, to be placed anew with another port"
        self._end_all(events.setup_failure(self._around.now_ns(), said), failed=not anew)
        return True

    async def _have_network(self) -> bool:
        """False when the allocation was stopped, or failed, before it had one."""
        said = ""
        while needs_pause(self.group):
            if self.alloc.DesiredStatus != "run" and not self._pause:
                self._end_all(events.killed(self._around.now_ns()), failed=False)
                return False
            try:
                ports = ports_of(self.alloc)
                self._pause, self._address = await self._around.pauses.ensure(self.alloc.ID, self.group, ports)
                self._save()
                break
            except KokirisError as error:
                if self._around.now_ns() - self._received_ns > NETWORK_PATIENCE_S * SECOND_NS:
                    self._end_all(events.setup_failure(self._around.now_ns(), error.message), failed=True)
                    return False
                if error.message != said:
                    said = error.message
                    for one in self._tasks.values():
                        one.add_event(events.setup(self._around.now_ns(), f"{said}; trying again"))
                    self._say()
                await asyncio.sleep(NETWORK_RETRY_S)
        return True

    def _end_all(self, event: TaskEvent, *, failed: bool) -> None:
        for one in self._tasks.values():
            one.add_event(event)
            one.state.State, one.state.Failed = "dead", failed
        self._end()

    def _end(self) -> None:
        """Its logs stay, and what it wrote; its secrets go: a stopped allocation may lie there for weeks."""
        self.folders.remove_secrets(self._tasks)
        self.ended, self._ended_ns = True, self._around.now_ns()
        self._save()
        self._say()

    async def _until_dead(self) -> None:
        while True:
            self._changed.clear()
            wait_s = self._advance()
            if all(one.state.State == "dead" for one in self._tasks.values()):
                return  # said only once nothing of it is left: its ports may be given away then
            self._say()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)

    def _advance(self) -> float | None:
        """Carries out what follows from the present states; seconds until time alone changes something."""
        states = self.states()
        decided = orders(views(self.group.Tasks or (), states), stopping=self._stop_has_begun())
        for name in decided.start:
            self._tasks[name].may_start()
        self._end_tasks(decided)
        if self.alloc.DesiredStatus != "run" and self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"stop {self.alloc.ID[:8]}")
        self._checks.relocate(self._addresses())
        self._checks.tasks_run(running_since(self.group, states))
        return self._judge()

    def _stop_has_begun(self) -> bool:
        """Before any task ran, a wish to stop is carried out at once."""
        return self.alloc.DesiredStatus != "run" and not any(s.State == "running" for s in self.states().values())

    def _end_tasks(self, decided: Orders) -> None:
        now_ns = self._around.now_ns()
        for name, cause in decided.kill.items():
            event: TaskEvent | None = None
            if cause is Cause.SIBLING_FAILED:
                event = events.sibling_failed(now_ns, decided.failed_task)
            elif cause is Cause.LEADER_DEAD:
                event = events.leader_dead(now_ns)
            elif cause is Cause.MAIN_DEAD:
                event = events.main_dead(now_ns)
            self._tasks[name].kill(event)

    def _judge(self) -> float | None:
        policy = health_policy(
            self.job.Type, self.group.Update, self.group.Migrate, in_deployment=bool(self.alloc.DeploymentID)
        )
        if policy is None or self._healthy is not None or self.alloc.DesiredStatus != "run":
            return None
        now_ns = self._around.now_ns()
        found = judge(
            policy,
            self._judged_since_ns,
            task_healths(self.group.Tasks or (), self.states()),
            self._checks.health(),
            now_ns,
        )
        if found.healthy is not None:
            self._healthy, self._healthy_at_ns = found.healthy, found.at_ns
            self._save()
            return None
        return max(0.001, (found.again_at_ns - now_ns) / SECOND_NS) if found.again_at_ns else None

    async def _stop(self) -> None:
        """The servers have withdrawn the instances: wait until no request comes any more, then end the tasks."""
        transition = self.alloc.DesiredTransition
        hurry = bool(transition and transition.NoShutdownDelay)
        instances = instances_of(self.alloc.ID, self.job, self.group)
        if instances and any(one.state.State == "running" for one in self._tasks.values()):
            try:
                async with asyncio.timeout(RELEASE_WAIT_S + 2):
                    await self._released(instances)
            except TimeoutError:
                log.info("allocation %s: stopping without the edges' word", self.alloc.ID[:8])
        if self.group.ShutdownDelay and not hurry:
            for one in self._tasks.values():
                if one.state.State == "running":
                    one.add_event(events.shutdown_delay(self._around.now_ns(), self.group.ShutdownDelay))
            await asyncio.sleep(self.group.ShutdownDelay / SECOND_NS)
        for wave in kill_waves(views(self.group.Tasks or (), self.states())):
            for name in wave:
                self._tasks[name].kill(skip_delay=hurry)
            for name in wave:
                await self._tasks[name].dead.wait()
        self._changed.set()

    async def _released(self, instances: list[str]) -> None:
        """Servers that are away are asked again: meanwhile HAProxy goes on sending requests."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RELEASE_WAIT_S
        while True:
            try:
                return await self._around.servers.released(instances, max(0.0, deadline - loop.time()))
            except KokirisError as error:
                log.info("allocation %s: nobody says yet whether it is released (%s)", self.alloc.ID[:8], error.message)
                await asyncio.sleep(RELEASE_RETRY_S)

    async def _tear_down(self) -> None:
        for _ in range(TEAR_DOWN_TRIES if self._pause else 0):
            try:
                await self._around.pauses.remove(self._pause)
                break
            except KokirisError as error:
                log.info("allocation %s: its network stays for now (%s)", self.alloc.ID[:8], error.message)
                await asyncio.sleep(NETWORK_RETRY_S)
        self._pause = ""

    def _restart_for_check(self, spec: CheckSpec, reason: str) -> None:
        chosen = [spec.task] if spec.task else [task.Name for task in self.group.Tasks or () if not task.Lifecycle]
        for name in chosen:
            with contextlib.suppress(BadInput, NotFound):
                self.task(name).restart(reason, failure=True)

    # its state

    def _placed(self) -> Placed:
        plan = plan_of(self.group, ports_of(self.alloc), self._pause)
        return Placed(self.alloc, self.job, self.group, self.folders, plan, self._address)

    def _configure_checks(self) -> None:
        values = self._setups.group_values(self._placed())
        specs = checks_of(self.alloc.ID, self.job, self.group, values)
        self._checks.configure(specs, self._addresses())

    def _addresses(self) -> Addresses:
        return Addresses(ports_of(self.alloc), self._around.node_address, self._address, self._driver_addresses())

    def _driver_addresses(self) -> dict[str, str]:
        return {
            name: one.handle.address or self._address
            for name, one in self._tasks.items()
            if one.handle is not None and (one.handle.address or self._address)
        }

    def _say(self) -> None:
        addresses = self._driver_addresses()
        word = alloc_client(
            self.alloc.ID,
            self.states(),
            healthy=self._healthy,
            healthy_at_ns=self._healthy_at_ns,
            address=self._address or next(iter(addresses.values()), ""),
            driver_addresses=addresses,
            checks=self._checks.statuses(),
        )
        if self._lost:
            word = msgspec.structs.replace(word, ClientStatus="lost", ClientDescription=self._lost)
        if word != self._said:
            self._said = word
            self._save()
            self._around.report(msgspec.structs.replace(word, ModifyTime=self._around.now_ns()))

    def _save(self) -> None:
        self._around.keeper.save(
            KeptAlloc(
                Allocation=self.alloc,
                AllocModifyIndex=self.modify_index,
                ReceivedNs=self._received_ns,
                JudgedSinceNs=self._judged_since_ns,
                Healthy=self._healthy,
                HealthyAtNs=self._healthy_at_ns,
                PauseContainer=self._pause,
                Address=self._address,
                Checks=self._checks.statuses(),
                Tasks={name: one.kept() for name, one in self._tasks.items()},
                Ended=self.ended,
                EndedNs=self._ended_ns,
                Lost=self._lost,
            )
        )
