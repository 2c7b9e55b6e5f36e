"""Brings the HAProxy that runs to what a plan says, and knows what it holds. A thin shell around `changes`."""

from __future__ import annotations

import asyncio
import logging
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from kokiris.kernel.errors import HostError
from kokiris.kernel.files import write_atomic
from kokiris.routing.haproxy.changes import (
    Changes,
    ServerKey,
    changes,
    drain_commands,
    edit_commands,
    server_commands,
    settle,
    swap_commands,
)
from kokiris.routing.haproxy.files import (
    SLOTS_PER_FILE,
    HaproxyFiles,
    MapName,
    certificate_list_text,
    map_text,
    slot_file_text,
    slot_name,
)
from kokiris.routing.haproxy.live import Live, pid_of, read_live, sessions_of, wrong_answers
from kokiris.routing.haproxy.runtime import HaproxyAway, RuntimeApi, ask_master

log = logging.getLogger(__name__)

BATCH = 500
"""Commands sent before their answers are read."""
FULL_SHARE = 0.8
"""The pool grows when more than this share of it is in use."""
RELOAD_INTERVAL_S = 2.0
"""Time enough for who reads access lines to find each worker (see `ring`)."""
RELOAD_DEADLINE_S = 60.0

Servers = Mapping[int, Mapping[str, str]]
Maps = Mapping[MapName, Mapping[str, str]]


class HaproxyDriver:
    """One HAProxy. Methods are called by one task at a time; all but `close` may raise HaproxyAway, after which the
    next call connects anew and reads again what is there."""

    def __init__(self, files: HaproxyFiles, program: str = "haproxy") -> None:
        self._files = files
        self._program = program
        self._api = RuntimeApi(files.socket)
        self._live: Live | None = None
        self._written: dict[Path, bytes] = {}
        self._reloaded_at = 0.0

    async def live(self) -> Live:
        """What HAProxy holds; read from it when the connection is new."""
        if self._live is None or not self._api.connected:
            self._live = None
            await self._api.connect()
            self._live = await read_live(self._api, self._files)
            log.info("HAProxy (pid %d) holds %d servers", self._live.pid, sum(map(len, self._live.servers.values())))
        return self._live

    async def same_process(self) -> bool:
        """Whether the worker is still the one that was read; False makes the next call read anew."""
        live = await self.live()
        if pid_of(await self._api.command("show info")) == live.pid:
            return True
        self._live = None
        return False

    async def close(self) -> None:
        """Closes the connection; HAProxy goes on."""
        await self._api.close()

    async def apply(self, servers: Servers, maps: Maps) -> Changes:
        """Files first, so that a reload or restart serves the same; then the running HAProxy. Returns what changed."""
        live = await self.live()
        pool = await self._pool(live, max(servers, default=-1) + 1)
        self._write_slots(servers, pool)
        for name, entries in maps.items():
            if live.maps.get(name) != entries or self._files.map(*name) not in self._written:
                self._write(self._files.map(*name), map_text(entries))
        if pool > live.slots or live.outdated:
            live = await self._reload(pool)
        todo = changes(live, servers, maps)
        if todo:
            await self._run(server_commands(todo))
            for map_name, change in todo.maps.items():
                if change.swap:
                    answer = await self._api.command(f"prepare map {self._files.map(*map_name)}")
                    version = int(answer.rpartition(":")[2])
                    await self._run(swap_commands(self._files, map_name, change, version))
                else:
                    await self._run(edit_commands(self._files, map_name, change))
            await self._run(drain_commands(todo))
            settle(live, todo)
        return todo

    async def _run(self, commands: list[str]) -> None:
        """Raises HaproxyAway when one is refused: what is there differs from what was thought, and is read again."""
        for start in range(0, len(commands), BATCH):
            batch = commands[start : start + BATCH]
            wrong = wrong_answers(list(zip(batch, await self._api.commands(batch), strict=True)))
            if wrong:
                self._live = None
                raise HaproxyAway(f"HAProxy refused {len(wrong)} command(s), first: {wrong[0][:300]}")

    async def _pool(self, live: Live, needed: int) -> int:
        """How many slots there should be."""
        if needed <= live.slots * FULL_SHARE or (needed <= live.slots and self._draining(live)):
            return live.slots  # growing loses sight of requests that old workers still finish: wait for a quiet moment
        size = max(live.slots, SLOTS_PER_FILE)
        while needed > size * FULL_SHARE:
            size *= 2
        return size

    @staticmethod
    def _draining(live: Live) -> list[ServerKey]:
        return [
            (slot, name)
            for slot, servers in live.servers.items()
            for name, server in servers.items()
            if not server.ready and not server.maintenance
        ]

    def _write_slots(self, servers: Servers, pool: int) -> None:
        for first in range(0, pool, SLOTS_PER_FILE):
            text = slot_file_text(first, min(SLOTS_PER_FILE, pool - first), servers)
            self._write(self._files.slot_file(first), text)

    def _write(self, path: Path, text: str) -> None:
        data = text.encode()
        if self._written.get(path) != data:
            write_atomic(path, data, mode=0o600)
            self._written[path] = data

    async def _reload(self, pool: int) -> Live:
        """Lets a new worker take over with `pool` slots; open requests end on the old one. Once in two seconds."""
        await self.check()
        await asyncio.sleep(max(0.0, self._reloaded_at + RELOAD_INTERVAL_S - time.monotonic()))
        self._reloaded_at = time.monotonic()
        await ask_master(self._files.master_socket, "reload")
        deadline = time.monotonic() + RELOAD_DEADLINE_S
        while time.monotonic() < deadline:
            try:
                self._live = None
                live = await self.live()
            except HaproxyAway:
                await asyncio.sleep(0.05)
                continue
            if live.slots >= pool and not live.outdated:
                log.info("HAProxy reloaded with %d slots", live.slots)
                return live
            await self._api.close()
            await asyncio.sleep(0.05)
        raise HaproxyAway(f"HAProxy did not reload with {pool} slots within {RELOAD_DEADLINE_S:.0f} s")

    async def check(self) -> None:
        """Raises HostError when HAProxy would refuse the files as they are; nothing is reloaded then."""
        text = await asyncio.to_thread(self._files.config.read_text)
        with tempfile.NamedTemporaryFile("w", suffix=".cfg", dir=self._files.folder) as copy:
            # Sockets handed down by number do not exist in the checking process.
            copy.write(re.sub(r"\bfd@\d+", "127.0.0.1:1", text))
            copy.flush()
            process = await asyncio.create_subprocess_exec(
                self._program, "-c", "-q", "-f", copy.name, "-f", str(self._files.slots),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            output, _ = await process.communicate()
        if process.returncode:
            raise HostError(f"HAProxy refuses its configuration: {output.decode('utf-8', 'replace')[-500:]}")

    async def sessions(self, slots: Iterable[int]) -> dict[ServerKey, int]:
        """How many requests each server of these slots is serving now."""
        numbers = sorted(set(slots))
        answers = await self._api.commands([f"show stat {slot_name(number)} 4 -1" for number in numbers])
        return {
            (number, name): count
            for number, answer in zip(numbers, answers, strict=True)
            for name, count in sessions_of(answer).items()
        }

    async def draining(self) -> list[ServerKey]:
        """Servers that get no new request and are not known to have ended their last."""
        return self._draining(await self.live())

    async def remove_idle(self) -> None:
        """Takes out servers whose requests have ended. Those with connections left go at a later call."""
        live = await self.live()
        waiting = [
            (slot, name) for slot, held in live.servers.items() for name, server in held.items() if not server.ready
        ]
        if not waiting:
            return
        busy = await self.sessions(slot for slot, _ in waiting)
        ended = [key for key in waiting if not busy.get(key)]
        paths = [f"{slot_name(slot)}/{name}" for slot, name in ended]
        await self._run([f"set server {path} state maint" for path in paths])
        answers = await self._api.commands([f"del server {path}" for path in paths])
        for (slot, name), answer in zip(ended, answers, strict=True):
            live.servers[slot][name].maintenance = True
            if "deleted" in answer or "No such server" in answer:
                del live.servers[slot][name]

    async def install_certificate(self, name: str, path: Path, pem: str) -> None:
        """Makes the certificate file answer server name `name` ("": the default), without reload. The file is there."""
        live = await self.live()
        commands = [f"set ssl cert {path} <<\n{pem.strip()}\n", f"commit ssl cert {path}"]
        if name and live.certificates.get(name) != str(path):
            listed = self._files.certificate_list
            commands = [f"new ssl cert {path}", *commands, f"add ssl crt-list {listed} <<\n{path} {name}\n"]
        answers = await self._api.commands(commands)
        wrong = [one for one in wrong_answers(list(zip(commands, answers, strict=True))) if "already exists" not in one]
        if wrong:
            raise HostError(f'HAProxy refused the certificate of "{name}": {wrong[0][:300]}')
        if name:
            live.certificates[name] = str(path)

    async def forget_certificates(self, wanted: Mapping[str, Path]) -> None:
        """Names other than `wanted` are answered with the default certificate again. Their files stay, for reuse."""
        live = await self.live()
        gone = {name: path for name, path in live.certificates.items() if name not in wanted}
        for name, path in gone.items():
            await self._api.commands(
                [f"del ssl crt-list {self._files.certificate_list} {path}", f"del ssl cert {path}"]
            )
            del live.certificates[name]

    def write_certificate_list(self, by_name: Mapping[str, Path]) -> None:
        """What the next start of HAProxy loads."""
        self._write(self._files.certificate_list, certificate_list_text(self._files.default_certificate, by_name))
