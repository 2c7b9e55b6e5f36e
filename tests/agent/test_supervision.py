"""Processes are started, found again, restarted with back-off, and stopped: real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.agent.processes import ProcessSpec, adopt, read_pid, start, start_time_of
from kokiris.agent.supervision import MAX_DELAY_S, STEADY_S, Backoff, Supervised
from kokiris.kernel.errors import HostError


@pytest.fixture
async def spec(tmp_path: Path) -> AsyncIterator[ProcessSpec]:
    one = ProcessSpec("sleeper", ["sleep", "1000"], tmp_path / "log", tmp_path / "sleeper.pid", stop_timeout_s=5)
    yield one
    record = read_pid(one.pid_file)
    if record is not None:
        os.kill(record.pid, signal.SIGKILL)


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


@given(st.lists(st.floats(0, 100), max_size=30))
def test_backoff_grows_to_its_bound_and_forgets_after_a_steady_run(runs_s: list[float]) -> None:
    backoff, last = Backoff(), 0.0
    for ran_s in runs_s:
        backoff, delay_s = backoff.after_end(ran_s)
        assert 0.1 <= delay_s <= MAX_DELAY_S
        assert delay_s == 0.1 if ran_s >= STEADY_S else delay_s >= last
        last = delay_s


async def test_a_killed_process_is_started_again(spec: ProcessSpec) -> None:
    keeper = Supervised(spec)
    keeper.begin()
    await until(lambda: keeper.running is not None)
    assert keeper.running is not None
    first = keeper.running.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: keeper.running is not None and keeper.running.pid != first)
    second = keeper.running.pid
    await keeper.stop()
    assert start_time_of(second) is None
    assert not spec.pid_file.exists()


async def test_the_next_agent_adopts_instead_of_starting_twice(spec: ProcessSpec) -> None:
    started = start(spec)
    adopted = adopt(spec)
    assert adopted is not None
    assert (adopted.pid, adopted.adopted) == (started.pid, True)
    await adopted.stop(signal.SIGTERM, 5)
    await started.wait()
    assert adopt(spec) is None


async def test_a_process_whose_pid_file_was_never_written_is_adopted(spec: ProcessSpec) -> None:
    started = start(spec)
    spec.pid_file.unlink()
    adopted = adopt(spec)
    assert adopted is not None
    assert adopted.pid == started.pid
    assert read_pid(spec.pid_file) is not None
    await started.stop(signal.SIGTERM, 5)


async def test_a_reused_pid_is_not_mistaken_for_ours(spec: ProcessSpec) -> None:
    started = start(spec)
    text = spec.pid_file.read_text()
    record = read_pid(spec.pid_file)
    assert record is not None
    spec.pid_file.write_text(text.replace(str(record.start_time), str(record.start_time - 1)))
    assert read_pid(spec.pid_file) is None
    await started.stop(signal.SIGTERM, 5)


async def test_a_process_of_another_spec_is_replaced(spec: ProcessSpec) -> None:
    old = start(spec)
    changed = ProcessSpec("sleeper", ["sleep", "2000"], spec.log_file, spec.pid_file, stop_timeout_s=5)
    keeper = Supervised(changed)
    keeper.begin()
    await until(lambda: keeper.running is not None)
    assert not old.alive()
    assert keeper.running is not None
    assert keeper.running.pid != old.pid
    await keeper.stop()


async def test_a_process_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(1000)"
    )
    spec = ProcessSpec("deaf", [sys.executable, "-c", script], tmp_path / "log", tmp_path / "pid")
    running = start(spec)
    await until(lambda: "deaf" in (tmp_path / "log").read_text())
    await running.stop(signal.SIGTERM, 0.2)
    assert start_time_of(running.pid) is None


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no-such-program"):
        start(ProcessSpec("ghost", ["/no-such-program"], tmp_path / "log", tmp_path / "pid"))


def test_a_zombie_does_not_count_as_running() -> None:
    child = subprocess.Popen(["true"])
    while start_time_of(child.pid) is not None:
        pass
    child.wait()
