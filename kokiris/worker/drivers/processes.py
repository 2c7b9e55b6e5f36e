"""Processes that are not our children: started detached, named by pid and start time, awaited through a pidfd."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def start_time_of(pid: int) -> int | None:
    """Clock ticks since boot; None when no such process runs (a zombie does not run)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def is_running(pid: int, start_time: int) -> bool:
    """Whether this very process runs, not one that got its pid later."""
    return start_time_of(pid) == start_time


def spawn(argv: Sequence[str], env: Mapping[str, str], work_dir: str) -> None:
    """In a session of its own, with none of our files; its parent is us, then init. Raises OSError."""
    child = subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=work_dir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
        preexec_fn=_default_signals,  # noqa: PLW1509 - only sets signals; takes no lock
    )
    _reap_later(child)


def _default_signals() -> None:
    """A worker started in the background of a shell ignores SIGINT, and would hand that down."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _reap_later(child: subprocess.Popen[bytes]) -> None:
    """A child that ends must not stay a zombie: its start time would still be readable otherwise."""
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(child.pid)

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        child.wait()

    loop.add_reader(descriptor, ended)


def resolve(future: asyncio.Future[None]) -> None:
    """For `add_reader`: it may fire more than once."""
    if not future.done():
        future.set_result(None)


async def when_ended(pid: int, start_time: int) -> None:
    """Returns when this very process does not run (any more). Cancel-safe."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    try:
        if not is_running(pid, start_time):
            return
        loop.add_reader(descriptor, resolve, future)
        await future
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
