"""Runs one task: waits for its turn, starts attempts, restarts by policy, ends when told to. The shell around
`restarts`, `state` and `events`, which decide."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kokiris.kernel.clock import NowNs
from kokiris.kernel.errors import BadInput, KokirisError
from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.model.allocwire import TaskEvent, TaskState
from kokiris.orchestrator.model.policy import RestartPolicySpec
from kokiris.orchestrator.model.task import Task
from kokiris.worker.allocs.kept import KeptTask
from kokiris.worker.drivers.contract import Driver, Exit, StartFailed, TaskHandle, TaskSetup
from kokiris.worker.logs.files import LogLimits
from kokiris.worker.tasks import events, state
from kokiris.worker.tasks.restarts import (
    Decision,
    Ended,
    RestartHistory,
    Verdict,
    decide,
    restarts_on_success,
)

log = logging.getLogger(__name__)

LOG_DRAIN_S = 15.0
"""How long a task's end waits for the last of its output; docker delivers it in milliseconds."""


class TaskTemplates(Protocol):
    """The rendered files of a task."""

    async def first_render(self, say: Callable[[str], None]) -> dict[str, str]:
        """Returns once all are rendered: the variables of those with `env = true`. Raises KokirisError."""
        ...

    async def watch(self, act: Callable[[TemplateChange], None]) -> None:
        """Renders again whenever data changes, for ever. Cancel-safe."""
        ...


@dataclass(frozen=True, slots=True)
class TemplateChange:
    """What a changed template asks for. `signal` "": a restart."""

    reason: str
    signal: str = ""
    command: list[str] = field(default_factory=list)
    timeout_s: float = 5.0
    fail_on_error: bool = False


class TaskHost(Protocol):
    """What the runner needs of its allocation."""

    @property
    def log_folder(self) -> Path: ...

    def task_changed(self, *, durable: bool) -> None:
        """The task's state has changed; `durable`: its handle too."""
        ...

    def setup_of(self, task: Task, attempt: int, extra_env: dict[str, str]) -> TaskSetup:
        """Raises KokirisError when the task cannot be set up."""
        ...

    def templates_of(self, task: Task) -> TaskTemplates | None: ...


@dataclass(slots=True)
class _Restart:
    reason: str
    failure: bool


class TaskRunner:
    """One task of one allocation. `run` is its whole life."""

    def __init__(
        self,
        task: Task,
        job_type: str,
        driver: Driver | None,
        host: TaskHost,
        now_ns: NowNs,
        *,
        kept: KeptTask | None = None,
    ) -> None:
        self.task = task
        self.state: TaskState = kept.State if kept else state.initial()
        self.handle: TaskHandle | None = kept.Handle if kept else None
        self.history: RestartHistory = kept.History if kept else RestartHistory()
        self.attempt = kept.Attempt if kept else 0
        self._job_type = job_type
        self._driver = driver
        self._host = host
        self._now_ns = now_ns
        self._turn = asyncio.Event()
        self._kill = asyncio.Event()
        self._kill_reason = ""
        self._skip_delay = False
        self._restart: _Restart | None = None
        self._restart_asked = asyncio.Event()
        self._extra_env: dict[str, str] = {}
        self.dead = asyncio.Event()

    # what the allocation and the node API ask of it

    def may_start(self) -> None:
        """Its turn has come (idempotent)."""
        self._turn.set()

    def kill(self, event: TaskEvent | None = None, *, reason: str = "", skip_delay: bool = False) -> None:
        """Ends it; `event` says why in its history. Idempotent."""
        if self._kill.is_set() or self.state.State == "dead":
            return
        if event is not None:
            self.add_event(event)
        self._kill_reason = reason
        self._skip_delay = skip_delay
        self._kill.set()

    def restart(self, reason: str, *, failure: bool = False) -> None:
        """Ends the present attempt and starts another, at once; as a failure it counts in the restart policy.

        Raises BadInput when it does not run.
        """
        if self.state.State != "running":
            raise BadInput("Task not running")
        self.add_event(events.restart_signaled(self._now_ns(), reason))
        self._restart = _Restart(reason, failure)
        self._restart_asked.set()

    async def signal(self, name: str, reason: str = "") -> None:
        """Raises BadInput when it does not run or the signal does not exist."""
        if self.state.State != "running" or self.handle is None or self._driver is None:
            raise BadInput("Task not running")
        await self._driver.signal(self.handle, name)
        self.add_event(events.signaling(self._now_ns(), name, reason))

    def add_event(self, event: TaskEvent) -> None:
        """One more line of its history."""
        self.state = state.with_event(self.state, event)
        self._host.task_changed(durable=False)

    def kept(self) -> KeptTask:
        """What must outlive the worker."""
        return KeptTask(State=self.state, Handle=self.handle, History=self.history, Attempt=self.attempt)

    # its life

    async def run(self) -> None:
        """Returns when it is dead. A cancelled run leaves the attempt running: a later worker takes it over."""
        if self.state.State == "dead":
            self.dead.set()
            return
        try:
            if not await self._restored():
                if not self.state.Events:
                    self.add_event(events.received(self._now_ns()))
                await self._first_of(self._turn, self._kill)
            await self._attempts()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("task %s: defect", self.task.Name)
            self.add_event(events.setup_failure(self._now_ns(), f"internal error: {error}"))
            self._die(failed=True)

    async def _attempts(self) -> None:
        while not self._kill.is_set():
            ended = await self._attempt()
            if self._kill.is_set():
                break
            decision = self._decide(ended)
            if decision.verdict is not Verdict.RESTART:
                self._finish(decision)
                return
            event = events.restarting(self._now_ns(), decision.reason, decision.delay_ns)
            self._set(state.waiting_to_restart(self.state, event), durable=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kill.wait(), decision.delay_ns / SECOND_NS)
        self._die(failed=False)

    def _decide(self, ended: Ended | _Restart) -> Decision:
        if isinstance(ended, _Restart) and not ended.failure:
            return Decision(Verdict.RESTART, ended.reason)
        as_ended = Ended(success=False) if isinstance(ended, _Restart) else ended
        lifecycle = self.task.Lifecycle
        decision, self.history = decide(
            self.task.RestartPolicy or RestartPolicySpec(),
            self.history,
            as_ended,
            self._now_ns(),
            restart_on_success=restarts_on_success(
                self._job_type,
                lifecycle.Hook if lifecycle else "",
                sidecar=bool(lifecycle and lifecycle.Sidecar),
            ),
            jitter=random.random(),  # noqa: S311 - spreads restarts, protects nothing
        )
        return decision

    def _finish(self, decision: Decision) -> None:
        if decision.verdict is Verdict.FAIL:
            self.add_event(events.not_restarting(self._now_ns(), decision.reason))
        self._die(failed=decision.verdict is Verdict.FAIL)

    def _die(self, *, failed: bool) -> None:
        self.handle = None
        self._set(state.dead(self.state, self._now_ns(), failed=failed), durable=True)
        self.dead.set()

    async def _attempt(self) -> Ended | _Restart:
        """One attempt from set-up to end (or the rest of one, found again)."""
        driver = self._driver
        if driver is None:
            message = f'driver "{self.task.Driver}" does not exist on this node'
            self.add_event(events.driver_failure(self._now_ns(), message))
            return Ended(start_error=message, final=True)
        if self.handle is None:
            failed = await self._start(driver)
            if failed is not None or self.handle is None:
                return failed or Ended()
        return await self._watch(driver, self.handle)

    async def _start(self, driver: Driver) -> Ended | None:
        """None when it runs now (or is to be killed)."""
        try:
            await self._render()
            if self._kill.is_set():
                return None
            setup = self._host.setup_of(self.task, self.attempt, self._extra_env)
            handle = await driver.start(setup, self._say)
        except StartFailed as error:
            self.attempt += 1
            self.add_event(events.driver_failure(self._now_ns(), _with_step(error)))
            return Ended(start_error=error.message, final=error.final)
        except KokirisError as error:
            self.attempt += 1
            self.add_event(events.setup_failure(self._now_ns(), _with_step(error)))
            return Ended(start_error=error.message, final=True)
        handle.private = handle.private or str(setup.folders.private)
        self.handle = handle
        self.attempt += 1
        self._set(state.running(self.state, events.started(self._now_ns()), handle.started_at_ns), durable=True)
        return None

    async def _render(self) -> None:
        templates = self._host.templates_of(self.task)
        if templates is None:
            return
        rendering: asyncio.Future[dict[str, str]] = asyncio.ensure_future(
            templates.first_render(lambda text: self.add_event(events.template(self._now_ns(), text)))
        )
        killed = asyncio.ensure_future(self._kill.wait())
        waited: set[asyncio.Future[Any]] = {rendering, killed}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if rendering.done():
                self._extra_env = rendering.result()
        finally:
            rendering.cancel()
            killed.cancel()

    async def _watch(self, driver: Driver, handle: TaskHandle) -> Ended | _Restart:
        """Until the attempt has ended, all its output is copied, and nothing of it is left."""
        limits = log_limits(self.task)
        follower = None
        if not limits.disabled:
            follower = asyncio.ensure_future(
                driver.follower(handle, self._host.log_folder, self.task.Name, limits).run()
            )
        templates = self._host.templates_of(self.task)
        watching = asyncio.ensure_future(templates.watch(self._on_template)) if templates else None
        ending = asyncio.ensure_future(driver.wait(handle))
        try:
            await self._until_end_or_order(ending)
            restart = self._restart if self._restart_asked.is_set() and not ending.done() else None
            if not ending.done():
                await self._stop(driver, handle)
            exit_ = await ending
            if follower is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(follower), LOG_DRAIN_S)
        finally:
            for task in (follower, watching, ending):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, KokirisError):
                        await task
        self._restart_asked.clear()
        self._restart = None
        self._ended(exit_)
        await driver.remove(handle)
        self.handle = None
        return restart or Ended(success=exit_.success)

    async def _until_end_or_order(self, ending: asyncio.Future[Exit]) -> None:
        killed = asyncio.ensure_future(self._kill.wait())
        restarted = asyncio.ensure_future(self._restart_asked.wait())
        waited: set[asyncio.Future[Any]] = {ending, killed, restarted}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            killed.cancel()
            restarted.cancel()

    async def _stop(self, driver: Driver, handle: TaskHandle) -> None:
        if self._kill.is_set() and self.task.ShutdownDelay and not self._skip_delay:
            self.add_event(events.shutdown_delay(self._now_ns(), self.task.ShutdownDelay))
            await asyncio.sleep(self.task.ShutdownDelay / SECOND_NS)
        self.add_event(events.killing(self._now_ns(), self.task.KillTimeout, self._kill_reason))
        await driver.stop(handle, self.task.KillSignal, self.task.KillTimeout / SECOND_NS)

    def _ended(self, exit_: Exit) -> None:
        now_ns = self._now_ns()
        self.add_event(
            events.terminated(
                now_ns,
                exit_code=exit_.code,
                signal=exit_.signal,
                oom_killed=exit_.oom_killed,
                message=exit_.message,
            )
        )
        if self._kill.is_set():
            self.add_event(events.killed(now_ns))

    async def _restored(self) -> bool:
        """Whether an attempt of an earlier worker has been found again (running or just ended)."""
        if self.handle is None or self._driver is None:
            return False
        if await self._driver.recover(self.handle):
            return True
        self.handle = None
        self._set(
            state.with_event(self.state, events.failed_restoring(self._now_ns(), "starting it anew")), durable=True
        )
        self.state.State = "pending"
        return False

    def _on_template(self, change: TemplateChange) -> None:
        if change.command:
            task = asyncio.ensure_future(self._run_script(change))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        elif change.signal:
            task = asyncio.ensure_future(self._signal_quietly(change))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        else:
            with contextlib.suppress(BadInput):
                self.restart(change.reason)

    async def _signal_quietly(self, change: TemplateChange) -> None:
        with contextlib.suppress(KokirisError):
            await self.signal(change.signal, change.reason)

    async def _run_script(self, change: TemplateChange) -> None:
        """`change_mode = "script"`: a command inside the running task."""
        if self.handle is None or self._driver is None:
            return
        try:
            async with asyncio.timeout(change.timeout_s):
                session = await self._driver.exec(self.handle, change.command, tty=False)
                async for _ in session.output():
                    pass
                code = await session.exit_code()
                await session.close()
            problem = f"Template ran script {change.command[0]}: exit code {code}" if code else ""
        except (KokirisError, TimeoutError) as error:
            code, problem = 1, f"Template failed to run script {change.command[0]}: {error or 'timeout'}"
        if code:
            self.add_event(events.hook_message(self._now_ns(), problem))
            if change.fail_on_error:
                self.kill(events.driver_failure(self._now_ns(), problem))

    def _say(self, text: str) -> None:
        self.add_event(events.driver_message(self._now_ns(), text))

    def _set(self, new: TaskState, *, durable: bool) -> None:
        self.state = new
        self._host.task_changed(durable=durable)

    @staticmethod
    async def _first_of(*waited: asyncio.Event) -> None:
        tasks = {asyncio.ensure_future(event.wait()) for event in waited}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def _with_step(error: KokirisError) -> str:
    specific = error.next_step != type(error).default_next_step
    return f"{error.message}. {error.next_step}" if specific else error.message


def log_limits(task: Task) -> LogLimits:
    """Of its `logs` block."""
    config = task.LogConfig
    if config is None:
        return LogLimits()
    return LogLimits(
        max_files=max(1, config.MaxFiles),
        max_file_bytes=max(1, config.MaxFileSizeMB) * 1024 * 1024,
        disabled=config.Disabled,
    )
