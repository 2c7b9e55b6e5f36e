"""The docker driver: a task is a container."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from kokiris.infra.labels import ALLOC_LABEL, INFRA_LABEL, TASK_LABEL
from kokiris.kernel.clock import parse_rfc3339_ns, wall_ns
from kokiris.kernel.errors import BadInput, Conflict, KokirisError, NotFound, Unavailable
from kokiris.kernel.units import SECOND_NS, parse_duration_ns
from kokiris.worker.drivers.config_values import boolean, merged_map, text
from kokiris.worker.drivers.contract import (
    DriverHealth,
    ExecSession,
    Exit,
    LogFollower,
    Say,
    StartFailed,
    TaskHandle,
    TaskSetup,
    Usage,
)
from kokiris.worker.drivers.docker_config import container_name, create_body
from kokiris.worker.drivers.docker_exec import open_exec
from kokiris.worker.drivers.docker_usage import usage_from_stats
from kokiris.worker.drivers.engine import Engine, EngineError, registry_of
from kokiris.worker.drivers.published_ports import PublishedPorts
from kokiris.worker.drivers.pull_advice import pull_advice
from kokiris.worker.drivers.signals import number
from kokiris.worker.drivers.start_advice import start_advice
from kokiris.worker.logs.docker_follow import DockerFollower
from kokiris.worker.logs.files import LogLimits

log = logging.getLogger(__name__)

DEFAULT_SIGNAL = "SIGTERM"
RETRY_S = 0.5
STARTS_AT_ONCE = 2 * (os.cpu_count() or 1)
"""Starting is bound by CPU in dockerd: more at once only queue there."""


NodeAuth = Callable[[str], Awaitable[dict[str, str] | None]]
"""Image reference → what the engine is to authenticate with; None: nothing."""


class DockerDriver:
    """See `drivers.contract.Driver`."""

    name = "docker"

    def __init__(
        self, engine: Engine, infra_label: str, ports: PublishedPorts, node_auth: NodeAuth | None = None
    ) -> None:
        """`node_auth` gives what this node may pull an image with when the job names no credentials of its own."""
        self._engine = engine
        self._ports = ports
        self._node_auth = node_auth
        self._infra_label = infra_label
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE)
        self._pulling: dict[str, asyncio.Lock] = {}

    def labels(self, alloc_id: str, task: str) -> dict[str, str]:
        """Whose a container is."""
        return {INFRA_LABEL: self._infra_label, ALLOC_LABEL: alloc_id, TASK_LABEL: task}

    async def health(self) -> DriverHealth:
        """Detected and healthy while the engine answers."""
        try:
            async with asyncio.timeout(10):
                version = await self._engine.version()
        except (KokirisError, TimeoutError) as error:
            return DriverHealth(False, False, f"Failed to connect to docker daemon: {error}")
        attributes = {
            "driver.docker": "1",
            "driver.docker.version": str(version.get("Version", "")),
            "driver.docker.os_type": str(version.get("Os", "linux")),
            "driver.docker.runtimes": "runc",
        }
        gateway = await self._gateway()
        if gateway:
            attributes["driver.docker.bridge_ip"] = gateway
        return DriverHealth(True, True, "Healthy", attributes)

    async def _gateway(self) -> str:
        try:
            return await self._engine.bridge_gateway()
        except KokirisError:
            return ""

    async def start(self, setup: TaskSetup, say: Say) -> TaskHandle:
        """Creates and starts the container; one that an earlier worker left under this name is taken over."""
        if not text(setup.config, "image"):
            raise StartFailed(f'task "{setup.task}": config.image is missing', final=True)
        body = create_body(setup, self.labels(setup.alloc_id, setup.task))
        await self._have_image(setup, say)
        async with self._starting:
            try:
                container_id = await self._created(setup, body)
                await self._engine.start(container_id)
                state = await self._engine.inspect(container_id)
            except Unavailable as error:
                raise StartFailed(error.message) from error
            except KokirisError as error:
                raise StartFailed(
                    f"Failed to create or start container: {error.message}", next_step=start_advice(error.message)
                ) from error
        self._ports.hold(state)
        return TaskHandle(
            driver=self.name,
            container_id=container_id,
            address=container_address(state),
            started_at_ns=_time(state, "StartedAt") or wall_ns(),
        )

    async def _created(self, setup: TaskSetup, body: dict[str, Any]) -> str:
        name = container_name(setup.alloc_id, setup.task)
        try:
            return await self._engine.create(name, body)
        except Conflict:
            found = await self._engine.inspect(name)
            if found["Config"]["Labels"].get(INFRA_LABEL) != self._infra_label:
                raise StartFailed(f'a foreign container is named "{name}"', final=True) from None
            if found["State"]["Running"]:
                return str(found["Id"])
            await self._engine.remove(found["Id"])
            return await self._engine.create(name, body)

    async def _have_image(self, setup: TaskSetup, say: Say) -> None:
        """Pulls only what is absent (or with force_pull). Raises StartFailed saying which image, from where, why."""
        reference = text(setup.config, "image")
        try:
            await self._load_archive(setup)
            async with self._pulling.setdefault(reference, asyncio.Lock()):
                present = await self._engine.has_image(reference)
                if present and not boolean(setup.config, "force_pull"):
                    return
                say(f"Downloading image {reference}")
                await self._engine.pull(reference, await self._pull_auth(setup), _pull_timeout_s(setup))
        except Unavailable as error:
            raise StartFailed(error.message) from error
        except (EngineError, NotFound, Conflict) as error:
            raise StartFailed(
                f'Failed to pull image "{reference}" from {registry_of(reference)}: {error.message}',
                next_step=pull_advice(reference, error.message, logged_in=_auth(setup) is not None),
            ) from error
        finally:
            self._pulling.pop(reference, None)

    async def _pull_auth(self, setup: TaskSetup) -> dict[str, str] | None:
        """The job's own credentials, else the node's: those go to the engine and nowhere else."""
        given = _auth(setup)
        if given is not None or self._node_auth is None:
            return given
        reference = text(setup.config, "image")
        try:
            return await self._node_auth(reference)
        except KokirisError as error:
            reason = ". ".join(error.message.rstrip(".\n").splitlines())
            raise EngineError(f"the servers gave no right to pull it: {reason}") from error

    async def _load_archive(self, setup: TaskSetup) -> None:
        archive = text(setup.config, "load")
        if not archive:
            return
        path = (setup.folders.local / archive).resolve()
        if not path.is_relative_to(setup.folders.local.resolve()):
            raise StartFailed(f'config.load: "{archive}" leaves the task\'s folder', final=True)
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            raise StartFailed(f'config.load: cannot read "{archive}": {error.strerror}', final=True) from error
        await self._engine.load_image(content)

    async def recover(self, handle: TaskHandle) -> bool:
        """Waits until the engine answers: only it can tell."""
        while True:
            try:
                found = await self._engine.inspect(handle.container_id)
            except NotFound:
                self._ports.release(handle.container_id)
                return False
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            else:
                self._ports.hold(found)
                handle.address = container_address(found)
                return True

    async def wait(self, handle: TaskHandle) -> Exit:
        """The engine's outages are waited through; a container that was removed behind our back is `gone`."""
        while True:
            try:
                await self._engine.wait(handle.container_id)
                state = (await self._engine.inspect(handle.container_id))["State"]
                if not state["Running"]:
                    self._ports.release(handle.container_id)
                    return _exit_of(state)
            except NotFound:
                self._ports.release(handle.container_id)
                return Exit(code=137, gone=True, message="the container was removed by somebody else")
            except KokirisError as error:
                log.info("waiting for container %s: %s", handle.container_id[:12], error.message)
                await asyncio.sleep(RETRY_S)

    async def stop(self, handle: TaskHandle, signal: str, timeout_s: float) -> None:
        """See the contract."""
        await self._kill(handle, signal or DEFAULT_SIGNAL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(handle), timeout_s)
            return
        await self._kill(handle, "SIGKILL")
        await self.wait(handle)

    async def _kill(self, handle: TaskHandle, signal: str) -> None:
        while True:
            try:
                await self._engine.kill(handle.container_id, signal)
            except (NotFound, Conflict):  # it has ended already
                return
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def signal(self, handle: TaskHandle, signal: str) -> None:
        """See the contract."""
        number(signal)
        try:
            await self._engine.kill(handle.container_id, signal)
        except (NotFound, Conflict) as error:
            raise BadInput("Task not running") from error

    async def usage(self, handle: TaskHandle) -> Usage:
        """From one sample of the engine."""
        return usage_from_stats(await self._engine.stats(handle.container_id))

    async def exec(self, handle: TaskHandle, command: Sequence[str], *, tty: bool) -> ExecSession:
        """See the contract."""
        return await open_exec(self._engine, handle.container_id, command, tty=tty)

    def follower(self, handle: TaskHandle, folder: Path, task: str, limits: LogLimits) -> LogFollower:
        """The position file lies next to the handle's folder given in `private`."""
        position_file = Path(handle.private or folder) / f"{task}.position.json"
        return DockerFollower(
            self._engine, handle.container_id, folder, task, limits=limits, position_file=position_file
        )

    async def remove(self, handle: TaskHandle) -> None:
        """Removes the container; while the engine is away nothing happens (orphans are swept later)."""
        with contextlib.suppress(Unavailable, EngineError):
            await self._engine.remove(handle.container_id)


def container_address(state: dict[str, Any]) -> str:
    """Its address in its own network; "" in host mode or when it joined another's."""
    settings = state.get("NetworkSettings") or {}
    for network in (settings.get("Networks") or {}).values():
        if network.get("IPAddress"):
            return str(network["IPAddress"])
    return str(settings.get("IPAddress") or "")


def _exit_of(state: dict[str, Any]) -> Exit:
    code = int(state["ExitCode"])
    return Exit(
        code=code,
        signal=code - 128 if 128 < code <= 128 + 64 else 0,
        oom_killed=bool(state.get("OOMKilled")),
        message=str(state.get("Error") or ""),
    )


def _time(state: dict[str, Any], key: str) -> int:
    try:
        return parse_rfc3339_ns(str(state["State"][key]))
    except (KeyError, ValueError):
        return 0


def _auth(setup: TaskSetup) -> dict[str, str] | None:
    auth = merged_map(setup.config, "auth")
    if not auth:
        return None
    return {
        "username": text(auth, "username"),
        "password": text(auth, "password"),
        "email": text(auth, "email"),
        "serveraddress": text(auth, "server_address") or registry_of(text(setup.config, "image")),
    }


def _pull_timeout_s(setup: TaskSetup) -> float:
    try:
        return parse_duration_ns(text(setup.config, "image_pull_timeout") or "5m") / SECOND_NS
    except BadInput as error:
        raise StartFailed(f"config.image_pull_timeout: {error.message}", final=True) from error
