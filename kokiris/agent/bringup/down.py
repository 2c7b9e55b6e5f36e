"""Taking an infra down on this node: all that was started is stopped, the data stay unless purged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import aiodocker

from kokiris.agent.bringup.bridge import restore_network
from kokiris.agent.bringup.up import Say
from kokiris.agent.processes import PidRecord, read_pid, start_time_of
from kokiris.agent.third_parties import docker_answers
from kokiris.infra.config import Config, Layout, load
from kokiris.infra.hosts import rewrite, without_block
from kokiris.infra.labels import INFRA_LABEL, infra_label
from kokiris.kernel.errors import Conflict, HostError
from kokiris.registry.layout import distrust_registry
from kokiris.worker.drivers.cgroups import ROOT, remove_parent
from kokiris.worker.drivers.published_ports import remove_rules

AGENT_STOP_TIMEOUT_S = 90.0
STOP_ORDER = ("nursery", "worker", "edge", "dns", "logs", "server", "haproxy", "etcd", "dockerd")
"""The nursery first: no role is forked from then on."""


def down(data_dir: Path, *, purge: bool, say: Say) -> list[str]:
    """What was stopped or removed, in order; empty when nothing was there."""
    layout = Layout(data_dir)
    done: list[str] = []
    if not layout.config.exists():
        return done
    config = load(layout.config)
    _refuse_to_strand(config, layout)
    agent = read_pid(layout.run / "agent.pid")
    worker = read_pid(layout.run / "worker.pid")
    if agent is not None:
        _end(agent, signal.SIGSTOP, 0)  # it must not restart what is stopped before it
    if worker is not None:
        say("stopping the worker")
        _end(worker, signal.SIGTERM, 30)
    if docker_answers(config.docker.socket):
        removed = asyncio.run(_remove_containers(config, layout))
        if removed:
            done.append(f"{removed} containers")
    if agent is not None:
        say("stopping the agent and its roles")
        _end(agent, signal.SIGCONT, 0)
        _end(agent, signal.SIGTERM, AGENT_STOP_TIMEOUT_S)
        done.append("agent")
    done += _end_leftovers(layout)
    remove_rules(infra_label(config))
    if restore_network(config, layout):
        done.append(f"bridge {config.docker.bridge}")
    if config.hosts_file:
        path = Path(config.hosts_file)
        if path.exists() and rewrite(path, without_block(path.read_text(), config.name)):
            done.append(f"names in {path}")
    if purge:
        distrust_registry(config, layout)
        _purge(layout)
        remove_parent(ROOT)
        done.append(f"data in {layout.root}")
    return done


def _refuse_to_strand(config: Config, layout: Layout) -> None:
    """Raises Conflict while another infra of this machine has containers in the dockerd that ends with this one."""
    if read_pid(layout.run / "dockerd.pid") is None or not docker_answers(config.docker.socket):
        return
    names = sorted(set(asyncio.run(_infras_of_containers(config))) - {infra_label(config)})
    if names:
        raise Conflict(
            f"the dockerd of {config.name} runs containers of {', '.join(name.split('@')[0] for name in names)}",
            next_step="Take that infra down first: kokiris down -client CLIENT -infra INFRA.",
        )


async def _infras_of_containers(config: Config) -> list[str]:
    async with aiodocker.Docker(url=f"unix://{config.docker.socket}") as docker:
        containers = await docker.containers.list(filters={"label": [INFRA_LABEL]})
        return [str(one["Labels"][INFRA_LABEL]) for one in containers]


def _end_leftovers(layout: Layout) -> list[str]:
    """Roles whose agent was killed."""
    ended = []
    for name in STOP_ORDER:
        record = read_pid(layout.run / f"{name}.pid")
        if record is not None:
            _end(record, signal.SIGUSR1 if name == "haproxy" else signal.SIGTERM, 30)
            ended.append(name)
        (layout.run / f"{name}.pid").unlink(missing_ok=True)
    return ended


def _end(record: PidRecord, number: int, timeout_s: float) -> None:
    """Signals exactly that process; with a timeout, waits for its end and kills it afterwards."""
    with contextlib.suppress(ProcessLookupError):
        if start_time_of(record.pid) != record.start_time:
            return
        os.kill(record.pid, number)
        deadline = time.monotonic() + timeout_s
        while timeout_s and start_time_of(record.pid) == record.start_time:
            if time.monotonic() > deadline:
                os.kill(record.pid, signal.SIGKILL)
                deadline = time.monotonic() + 5
            time.sleep(0.02)


async def _remove_containers(config: Config, layout: Layout) -> int:
    """Ends and removes this infra's containers, several at a time."""
    async with aiodocker.Docker(url=f"unix://{config.docker.socket}") as docker:
        filters = {"label": [f"{INFRA_LABEL}={infra_label(config)}"]}
        containers = await docker.containers.list(all=True, filters=filters)
        gate = asyncio.Semaphore(4)

        async def remove(container: aiodocker.containers.DockerContainer) -> None:
            async with gate:
                with contextlib.suppress(aiodocker.exceptions.DockerError):
                    await container.stop(t=5)
                with contextlib.suppress(aiodocker.exceptions.DockerError):
                    await container.delete(force=True, v=True)

        await asyncio.gather(*(remove(one) for one in containers))
        return len(containers)


def _purge(layout: Layout) -> None:
    """Removes the data folder; what dockerd left mounted below it is unmounted first."""
    root = str(layout.root.resolve())
    if len(Path(root).parts) < 3:
        raise HostError(f"refusing to remove {root}: too near the root", next_step="Choose a deeper data folder.")
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for target in sorted((one for one in mounted if one.startswith(root + "/")), reverse=True):
        subprocess.run(["umount", "-l", target.encode().decode("unicode_escape")], check=False)
    shutil.rmtree(root, ignore_errors=False)
    with contextlib.suppress(OSError):  # the client's folder, unless another infra of theirs is in it
        layout.root.parent.rmdir()
