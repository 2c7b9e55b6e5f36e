"""A real nursery, real children: what they are given, who hears of their end, and what the death of either does."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from kokiris.agent.nursery import client
from kokiris.agent.nursery.client import fork
from kokiris.agent.processes import ProcessSpec, Running, adopt, read_pid, start_time_of
from kokiris.agent.supervision import Supervised
from kokiris.kernel.errors import HostError

CHILD = """
import common, json, os, random, signal, ssl, sys

def target(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return None

print(json.dumps({
    "argv": sys.argv[1:], "sid": os.getsid(0), "pid": os.getpid(), "common": (common.loaded_by, common.version),
    "random": [random.random(), ssl.RAND_bytes(8).hex()],
    "descriptors": {number: target(number) for number in range(300) if target(number)},
}))
if sys.argv[1] == "exit":
    sys.exit(int(sys.argv[2]))
signal.pause()
"""
COMMON = "import os\nloaded_by = os.getpid()\nversion = "


async def until(condition: Callable[[], Any], timeout_s: float = 60) -> Any:
    async with asyncio.timeout(timeout_s):
        while not (value := condition()):
            await asyncio.sleep(0.01)
    return value


class Bed:
    """A folder with a module that children become and one that the nursery loads, and the nursery, kept alive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "nursery.sock"
        (folder / "child.py").write_text(CHILD)
        self.change_code(1)
        self.spec = ProcessSpec(
            name="nursery",
            argv=[sys.executable, "-m", "kokiris.agent.nursery", str(self.socket), "no_such_module", "common"],
            log_file=folder / "nursery.log",
            pid_file=folder / "nursery.pid",
            env={"PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.keeper = Supervised(self.spec)

    def change_code(self, version: int) -> None:
        (self.folder / "common.py").write_text(f"{COMMON}{version}" + " " * version)

    def child(self, name: str, *arguments: str, pass_fds: tuple[int, ...] = ()) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            argv=[sys.executable, "-m", "child", *(arguments or (name,))],
            log_file=self.folder / f"{name}.log",
            pid_file=self.folder / f"{name}.pid",
            pass_fds=pass_fds,
            nursery=self.socket,
            stop_timeout_s=5,
        )

    async def fork(self, spec: ProcessSpec) -> Running:
        running = await fork(spec, asyncio.Event())
        assert running is not None
        return running

    async def said(self, name: str) -> dict[str, Any]:
        """What the child printed last."""
        path = self.folder / f"{name}.log"
        await until(lambda: path.exists() and path.read_text().endswith("}\n"))
        return json.loads(path.read_text().splitlines()[-1])  # type: ignore[no-any-return]

    def nursery(self) -> int:
        record = read_pid(self.spec.pid_file)
        return record.pid if record else 0

    def reaps(self, pid: int) -> bool:
        """Not even a zombie of it is left."""
        return not Path(f"/proc/{pid}").exists()


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    one = Bed(tmp_path)
    one.keeper.begin()
    yield one
    await one.keeper.stop()
    for path in tmp_path.glob("*.pid"):  # noqa: ASYNC240 - all is over
        record = read_pid(path)
        if record is not None:
            os.kill(record.pid, signal.SIGKILL)


async def test_a_child_is_what_was_asked_for(bed: Bed) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        passed = {100: os.dup2(listener.fileno(), 100), 3: os.dup(listener.fileno())}
        spec = bed.child("one", pass_fds=(100, passed[3]))
        running = await bed.fork(spec)
        link = os.readlink(f"/proc/self/fd/{listener.fileno()}")  # noqa: PTH115 - not a path
        os.close(100)
        os.close(passed[3])
    said = await bed.said("one")
    assert said["argv"] == ["one"]
    assert said["pid"] == said["sid"] == running.pid, "it leads a session"
    assert said["common"] == [bed.nursery(), 1], "what the nursery has loaded is there"
    log_file = str(bed.folder / "one.log")
    assert said["descriptors"] == {"0": "/dev/null", "1": log_file, "2": log_file, "100": link, str(passed[3]): link}
    record = read_pid(spec.pid_file)
    assert record is not None
    assert (record.pid, record.fingerprint) == (running.pid, spec.fingerprint())
    assert b"-m child one" in Path(f"/proc/{running.pid}/cmdline").read_bytes()  # noqa: ASYNC240 - the kernel's memory
    assert bed.socket.stat().st_mode & 0o777 == 0o600
    assert "no_such_module cannot be loaded in advance" in bed.spec.log_file.read_text()


async def test_children_draw_numbers_of_their_own(bed: Bed) -> None:
    for name in ("one", "two"):
        await bed.fork(bed.child(name))
    one, two = await bed.said("one"), await bed.said("two")
    assert not set(one["random"]) & set(two["random"])


@pytest.mark.parametrize("number", [0, 3])
async def test_the_exit_code_is_told(bed: Bed, number: int) -> None:
    running = await bed.fork(bed.child("one", "exit", str(number)))
    assert await running.wait() == number
    assert bed.reaps(running.pid)


async def test_a_killed_child_is_reaped_and_started_again(bed: Bed) -> None:
    keeper = Supervised(bed.child("one"))
    keeper.begin()
    await until(lambda: keeper.running is not None)
    assert keeper.running is not None
    first = keeper.running
    os.kill(first.pid, signal.SIGKILL)
    assert await first.wait() == -signal.SIGKILL
    await until(lambda: keeper.running is not first and keeper.running is not None)
    second = keeper.running
    await keeper.stop()
    assert bed.reaps(first.pid)
    assert bed.reaps(second.pid)
    assert not keeper.spec.pid_file.exists()


async def test_children_outlive_their_nursery_and_the_next_one_is_not_confused(bed: Bed) -> None:
    """Their environment was the nursery's: an agent that looks for a nursery by its mark must not take one of them."""
    one = await bed.fork(bed.child("one"))
    await bed.said("one")
    first = bed.nursery()
    os.kill(first, signal.SIGKILL)
    two = await bed.fork(bed.child("two"))
    assert bed.nursery() not in {0, first, one.pid}
    assert (await bed.said("two"))["common"] == [bed.nursery(), 1]
    assert one.alive()
    again = adopt(bed.child("one"))
    assert again is not None
    for running in (again, two):
        await running.stop(signal.SIGTERM, 5)
    assert await one.wait() is None, "whoever knew the code is no more"
    await bed.keeper.stop()
    assert adopt(bed.spec) is None


async def test_a_child_does_not_pass_for_its_nursery(bed: Bed) -> None:
    await bed.fork(bed.child("one"))
    await bed.said("one")
    await bed.keeper.stop()
    assert adopt(bed.spec) is None


async def test_asked_again_by_an_agent_that_does_not_know_it_returns_the_one_that_runs(bed: Bed) -> None:
    first = await bed.fork(bed.child("one"))
    second = await bed.fork(bed.child("one"))
    assert (second.pid, second.adopted) == (first.pid, True)
    with pytest.raises(HostError, match=f"process {first.pid} of another configuration"):
        await bed.fork(bed.child("one", "other"))
    await second.stop(signal.SIGTERM, 5)
    assert await first.wait() == -signal.SIGTERM


async def test_an_agent_that_dies_before_the_answer_leaves_a_recorded_child(bed: Bed) -> None:
    await bed.fork(bed.child("one"))
    spec = bed.child("two")
    with _connection(bed) as connection:
        connection.send(_request(spec))
    await until(lambda: read_pid(spec.pid_file))
    adopted = adopt(spec)
    assert adopted is not None
    assert (await bed.said("two"))["pid"] == adopted.pid


async def test_a_child_that_cannot_be_recorded_does_nothing(bed: Bed) -> None:
    spec = dataclasses.replace(bed.child("one"), pid_file=bed.folder / "child.py" / "one.pid")
    with pytest.raises(HostError, match="File exists"):
        await bed.fork(spec)
    text = await until(lambda: "ended with code 1" in bed.spec.log_file.read_text())
    assert text
    assert spec.log_file.read_text() == ""


async def test_garbage_harms_nobody(bed: Bed) -> None:
    await bed.fork(bed.child("one"))
    descriptors = len(os.listdir(f"/proc/{bed.nursery()}/fd"))  # noqa: PTH208 - only their number is wanted
    nursery, spec = bed.nursery(), bed.child("two")
    outside = dataclasses.replace(spec, argv=["/bin/sh", "-c", "true"])
    with open(os.devnull) as file:  # noqa: ASYNC230, PTH123 - a descriptor is wanted
        for data, fds in [
            (b"\xff\x00 garbage", []),
            (b"x" * 100_000, []),
            (b"{}", [file.fileno()]),
            (_request(outside), []),
            (_request(spec), [file.fileno()]),
            (_request(dataclasses.replace(spec, pass_fds=(1,))), [file.fileno()]),
            (_request(spec), [file.fileno()] * 40),
        ]:
            with _connection(bed) as connection:
                socket.send_fds(connection, [data], fds)
                assert b'"refusal":"' in await asyncio.to_thread(connection.recv, 65536)
    _connection(bed).close()
    await bed.fork(spec)
    await bed.said("two")
    assert bed.nursery() == nursery
    await until(lambda: len(os.listdir(f"/proc/{nursery}/fd")) == descriptors + 2)  # noqa: PTH208 - as above


async def test_new_code_on_disk_is_what_the_next_child_runs(bed: Bed) -> None:
    await bed.fork(bed.child("one"))
    old = bed.nursery()
    bed.change_code(2)
    await bed.fork(bed.child("two"))
    assert (await bed.said("two"))["common"] == [bed.nursery(), 2]
    assert bed.nursery() != old
    assert (await bed.said("one"))["common"] == [old, 1]


async def test_a_silent_nursery_is_killed_and_replaced(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    await bed.fork(bed.child("one"))
    stuck = bed.nursery()
    os.kill(stuck, signal.SIGSTOP)
    monkeypatch.setattr(client, "PATIENCE_S", 0.5)
    with pytest.raises(HostError, match=f"silent.*process {stuck} was killed"):
        await bed.fork(bed.child("two"))
    monkeypatch.undo()
    await bed.fork(bed.child("two"))
    assert start_time_of(stuck) is None


async def test_without_a_nursery_the_error_names_it_and_a_stop_is_not_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Bed(tmp_path).child("one")
    keeper = Supervised(spec)
    keeper.begin()
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await keeper.stop()
    monkeypatch.setattr(client, "PATIENCE_S", 0.2)
    with pytest.raises(HostError, match=r"cannot start one: no nursery answers on .*nursery.sock"):
        await fork(spec, asyncio.Event())


def _connection(bed: Bed) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(60)
    connection.connect(str(bed.socket))
    return connection


def _request(spec: ProcessSpec) -> bytes:
    return json.dumps({
        "argv": spec.argv, "log_file": str(spec.log_file), "pid_file": str(spec.pid_file),
        "fingerprint": spec.fingerprint(), "descriptors": spec.pass_fds,
    }).encode()  # fmt: skip
