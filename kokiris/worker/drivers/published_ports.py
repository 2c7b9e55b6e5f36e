"""Keeps the published ports of this node's containers reachable while dockerd is away or returns: see `port_rules`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kokiris.kernel.errors import HostError, KokirisError
from kokiris.worker.drivers.engine import Engine
from kokiris.worker.drivers.port_rules import (
    CONTAINER_DIGITS,
    Bridge,
    Chains,
    PublishedPort,
    Rules,
    bridge_of,
    published_ports,
    removals,
    restore_text,
    rules_by_container,
    rules_of,
    stands,
)

log = logging.getLogger(__name__)

RETRY_S = 1.0
PATIENCE_S = 30.0
SAVE = ("iptables-save", "-t", "nat")
RESTORE = ("iptables-restore", "-w", "10", "--noflush")


class PublishedPorts:
    """Which containers publish which ports, and the kernel's rules that say so. `hold` and `release` return at once;
    `run` writes. Rules outlive the worker: the next one begins with those it finds."""

    def __init__(self, engine: Engine, infra_label: str) -> None:
        self._engine = engine
        self._chains = Chains.of(infra_label)
        self._held: dict[str, list[PublishedPort]] = {}
        self._inherited: dict[str, Rules] = {}
        """Of an earlier worker's containers that have not been found again yet."""
        self._pidfds: dict[str, int] = {}
        self._bridge: Bridge | None = None
        self._changed = asyncio.Event()

    async def begin(self) -> None:
        """Reads what an earlier worker left: to be called once, before anything else."""
        try:
            self._inherited = rules_by_container(self._chains, await _run(SAVE))
        except HostError as error:
            log.info("published ports: %s", error.message)

    def hold(self, state: Mapping[str, Any]) -> None:
        """Of a container as docker describes it; one that does not run holds nothing. Idempotent."""
        container, ports = _short(str(state["Id"])), published_ports(state)
        if not ports:
            self.release(container)
        elif self._held.get(container) != ports:
            self._held[container] = ports
            self._inherited.pop(container, None)
            self._watch(container, int((state.get("State") or {}).get("Pid") or 0))
            self._changed.set()

    def release(self, container_id: str) -> None:
        """Of one that has ended. Idempotent."""
        container = _short(container_id)
        self._unwatch(container)
        held, inherited = (one.pop(container, None) for one in (self._held, self._inherited))
        if held is not None or inherited is not None:
            self._changed.set()

    def retain(self, container_ids: Iterable[str]) -> None:
        """Of what an earlier worker left, only the rules of these containers stay."""
        for gone in self._inherited.keys() - {_short(one) for one in container_ids}:
            self.release(gone)

    def _watch(self, container: str, pid: int) -> None:
        """Its end is seen at once. docker takes the container's network away before it tells: connections made in
        between would wait seconds for an address that is gone, instead of being refused and sent elsewhere."""
        self._unwatch(container)
        with contextlib.suppress(OSError):  # it has ended, or docker counts processes elsewhere
            fd = self._pidfds[container] = os.pidfd_open(pid)
            asyncio.get_running_loop().add_reader(fd, self.release, container)

    def _unwatch(self, container: str) -> None:
        fd = self._pidfds.pop(container, None)
        if fd is not None:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)

    async def run(self) -> None:
        """Writes what has changed, for ever; what fails is tried again."""
        try:
            await self._write_on()
        finally:
            for container in list(self._pidfds):
                self._unwatch(container)

    async def _write_on(self) -> None:
        said = ""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
            except KokirisError as error:
                if error.message != said:
                    log.warning("published ports: %s", error.message)
                said = error.message
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _write(self) -> None:
        if self._bridge is None:
            self._bridge = bridge_of(await self._engine.json("GET", "networks/bridge"))
        saved = await _run(SAVE)
        if not stands(self._chains, self._bridge, saved):
            return
        held = {name: rules_of(self._chains, self._bridge, name, ports) for name, ports in self._held.items()}
        wanted = {**self._inherited, **held}
        rules = [rule for name in sorted(wanted) for rule in wanted[name]]
        await _run(RESTORE, restore_text(self._chains, self._bridge, rules, saved))


def remove_rules(infra_label: str) -> bool:
    """Takes the infra's chains out of iptables, once its containers are gone. False: there was nothing to do."""
    try:
        saved = subprocess.run(SAVE, check=False, capture_output=True, text=True).stdout
    except OSError:  # no iptables, no rules
        return False
    commands = list(removals(Chains.of(infra_label), saved))
    for words in commands:
        subprocess.run(["iptables", "-w", "-t", "nat", *words], check=False, capture_output=True)
    return bool(commands)


def _short(container_id: str) -> str:
    return container_id[:CONTAINER_DIGITS]


async def _run(argv: Sequence[str], text: str = "") -> str:
    return await asyncio.to_thread(_run_now, argv, text)


def _run_now(argv: Sequence[str], text: str) -> str:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f'cannot run "{argv[0]}": {error}') from error
    if done.returncode:
        raise HostError(f"{argv[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout
