"""`python -m kokiris.agent.main --config FILE`: the agent of a node."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from kokiris.agent.processes import PidRecord, ProcessSpec, read_pid, start_time_of
from kokiris.agent.role import SETTLED_S, give_back_memory
from kokiris.agent.sockets import at_fixed_numbers, open_listeners, take_listeners
from kokiris.agent.supervision import Supervised
from kokiris.agent.third_parties import docker_answers, dockerd_spec, etcd_spec, runs_dockerd
from kokiris.infra.config import Config, Layout, load
from kokiris.kernel.errors import HostError, KokirisError
from kokiris.kernel.files import write_atomic
from kokiris.routing.haproxy.command import haproxy_command

log = logging.getLogger("kokiris.agent")

RENEWAL_INTERVAL_S = 3600.0
NURSERY_SOCKET = "nursery.sock"
DOCKER_PATIENCE = 600
"""Tenths of a second."""


NURSERY_LOADS = (
    "uvloop",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "tomllib",
    "encodings.idna",
    "kokiris.agent.roles.dns",
    "kokiris.agent.roles.edge",
)
"""What most roles load, in that order; what one role alone needs is better loaded there (docs/decisions/0022)."""
OWN_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}


def nursery_spec(layout: Layout) -> ProcessSpec:
    """What the roles are forked from."""
    return ProcessSpec(
        name="nursery",
        argv=[sys.executable, "-m", "kokiris.agent.nursery", str(layout.run / NURSERY_SOCKET), *NURSERY_LOADS],
        log_file=layout.logs / "nursery.log",
        pid_file=layout.run / "nursery.pid",
        env=OWN_ENVIRONMENT,
    )


def role_spec(role: str, config: Config, layout: Layout) -> ProcessSpec:
    """One of our own roles."""
    return ProcessSpec(
        name=role,
        argv=[sys.executable, "-m", "kokiris.agent.role", role, "--config", str(layout.config)],
        log_file=layout.logs / f"{role}.log",
        pid_file=layout.run / f"{role}.pid",
        env=OWN_ENVIRONMENT,
        nursery=layout.run / NURSERY_SOCKET,
        stop_timeout_s=20.0,
    )


def vip_sockets(config: Config, layout: Layout) -> list[socket.socket]:
    """The VIP's listening sockets: taken back from a running HAProxy, or opened."""
    addresses = [(config.vip_address, config.ports.http), (config.vip_address, config.ports.https)]
    record = read_pid(layout.run / "haproxy.pid")
    held = take_listeners(record.pid, addresses) if record is not None else None
    return at_fixed_numbers(held or open_listeners(addresses))


def specs(config: Config, layout: Layout, fds: list[int]) -> list[ProcessSpec]:
    """Everything that should run on this node, in the order it is started."""
    wanted = [nursery_spec(layout)]
    if config.worker and runs_dockerd(config, layout):
        wanted.append(dockerd_spec(config, layout))
    if config.server and config.store.kind == "etcd" and not config.store.endpoints:
        wanted.append(etcd_spec(config, layout))
    if config.server:
        wanted += [role_spec("server", config, layout), role_spec("logs", config, layout)]
    if config.edge:
        wanted.append(
            ProcessSpec(
                name="haproxy",
                argv=haproxy_command(layout),
                log_file=layout.logs / "haproxy.log",
                pid_file=layout.run / "haproxy.pid",
                pass_fds=fds,
                stop_signal=signal.SIGUSR1,
                stop_timeout_s=5.0,
            )
        )
        wanted.append(role_spec("edge", config, layout))
        wanted.append(role_spec("dns", config, layout))
    if config.worker:
        wanted.append(role_spec("worker", config, layout))
    return wanted


async def chore(name: str, layout: Layout, *arguments: str) -> None:
    """Runs one of `kokiris.agent.chores` to its end, in a process of its own. Raises HostError with its last words."""
    argv = [sys.executable, "-m", "kokiris.agent.chores", name, str(layout.config), *arguments]
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    text = output.decode(errors="replace").strip()
    if process.returncode != 0:
        raise HostError(f'chore "{name}" failed: {text[-500:]}')
    if text:
        log.info("%s", text)


async def _renew_for_ever(layout: Layout) -> None:
    while True:
        try:
            await chore("certificate", layout)
        except HostError as error:
            log.error("the node's certificate could not be renewed: %s", error.message)
        await asyncio.sleep(RENEWAL_INTERVAL_S)


async def run(config: Config, layout: Layout) -> None:
    """Runs until SIGTERM or SIGINT, then stops all it started but containers (dockerd's live-restore keeps those)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sockets = vip_sockets(config, layout) if config.edge else []
    if config.edge:
        await chore("haproxy", layout, *(str(one.fileno()) for one in sockets))
    renewal = asyncio.create_task(_renew_for_ever(layout))
    loop.call_later(SETTLED_S, give_back_memory)
    children = [Supervised(spec) for spec in specs(config, layout, [one.fileno() for one in sockets])]
    for child in children:
        if child.spec.name == "worker":
            await _docker(config, stop)
        child.begin()
    await stop.wait()
    renewal.cancel()
    for child in reversed(children):
        await child.stop()
    for one in sockets:
        one.close()


async def _docker(config: Config, stop: asyncio.Event) -> None:
    """Waits until a Docker Engine answers, for the worker looks at it when it starts; not for ever."""
    for _ in range(DOCKER_PATIENCE):
        if stop.is_set() or await asyncio.to_thread(docker_answers, config.docker.socket):
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.1)
    log.error("no Docker Engine answers on %s; the worker starts without it", config.docker.socket)


def _claim(layout: Layout) -> int:
    """Makes sure that one agent runs per data folder. Raises HostError naming the other."""
    layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(layout.run / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        other = read_pid(layout.run / "agent.pid")
        raise HostError(
            f"an agent already runs on {layout.root} (process {other.pid if other else 'unknown'})",
            next_step="Use it, or stop it with `kokiris down`.",
        ) from error
    record = PidRecord(pid=os.getpid(), start_time=start_time_of(os.getpid()) or 0)
    write_atomic(layout.run / "agent.pid", msgspec.json.encode(record))
    return lock


def main(argv: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="kokiris agent")
    parser.add_argument("--config", type=Path, required=True)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        config = load(args.config)
        layout = Layout(config.data_dir)
        lock = _claim(layout)
        try:
            asyncio.run(run(config, layout))
        finally:
            (layout.run / "agent.pid").unlink(missing_ok=True)
            os.close(lock)
    except KokirisError as error:
        log.error("%s (%s)", error.message, error.next_step)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
