"""The gate before phpMyAdmin: who has signed in to the infra, as HAProxy can check it for every request.

HAProxy holds a map from the SHA-256 of a session's id to when it ends. The file survives restarts; a session's
id itself is in its browser's cookie only.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from kokiris.kernel.files import write_secret
from kokiris.routing.haproxy.files import map_text
from kokiris.routing.haproxy.runtime import HaproxyAway, RuntimeApi

log = logging.getLogger(__name__)

COOKIE = "kokiris_gate"
DOOR = "/.kokiris/"
"""Paths below it on a gated address are answered by the panel."""
SESSION_S = 8 * 3600
MAX_SESSIONS = 1000


class Gate:
    """The map's one writer. `socket` is HAProxy's runtime API."""

    def __init__(self, file: Path, socket: Path, clock_s: Callable[[], float] = time.time) -> None:
        self._file = file
        self._api = RuntimeApi(socket)
        self._clock_s = clock_s
        self._turn = asyncio.Lock()
        self._until = self._read()

    async def open(self) -> str:
        """A new session's id, known to HAProxy when this returns. Raises OSError when it cannot be kept."""
        session = secrets.token_urlsafe(32)
        digest = _hashed(session)
        async with self._turn:
            self._prune()
            self._until[digest] = int(self._clock_s()) + SESSION_S
            self._write()
            await self._tell(f"add map {self._file} {digest} {self._until[digest]}")
        return session

    async def close(self, session: str) -> None:
        """Ends a session; unknown ones are none."""
        digest = _hashed(session)
        async with self._turn:
            if self._until.pop(digest, None) is not None:
                self._write()
                await self._tell(f"del map {self._file} {digest}")

    async def _tell(self, command: str) -> None:
        """HAProxy reads the file itself when it is not there now, or reloads."""
        try:
            await self._api.connect()
            answer = await self._api.command(command)
            if answer:
                log.warning("HAProxy on the gate's map: %s", answer)
        except HaproxyAway as error:
            log.info("gate: %s", error.message)
        finally:
            await self._api.close()

    def _prune(self) -> None:
        now = self._clock_s()
        for digest in [digest for digest, until in self._until.items() if until <= now]:
            del self._until[digest]
        while len(self._until) >= MAX_SESSIONS:
            del self._until[min(self._until, key=lambda digest: self._until[digest])]

    def _write(self) -> None:
        write_secret(self._file, map_text({digest: str(until) for digest, until in self._until.items()}).encode())

    def _read(self) -> dict[str, int]:
        try:
            pairs = [line.split() for line in self._file.read_text().splitlines()]
        except OSError:
            return {}
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _hashed(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()
