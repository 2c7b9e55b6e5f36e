"""A certificate for every host name served: keys made here, signed by the infra's authority, renewed while running."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from kokiris.kernel.errors import KokirisError
from kokiris.kernel.files import write_secret
from kokiris.routing.haproxy.files import HaproxyFiles

log = logging.getLogger(__name__)

PARALLEL = 8
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
RENEWAL_CHECK_S = 600.0

DEFAULT = ""
"""The key of the default certificate: it carries the platform's names and answers unknown ones."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What the infra's authority offers; handed in, so that routing needs none of its insides."""

    key_and_request: Callable[[Sequence[str]], tuple[bytes, bytes]]
    """Names → private key and request (PEM)."""
    sign: Callable[[bytes, Sequence[str]], Awaitable[bytes]]
    """Request and names → certificate chain (PEM). Raises KokirisError."""
    due: Callable[[bytes, datetime, Sequence[str]], bool]
    """Whether a certificate is to be renewed: two thirds of its life are over, or it lacks a name."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A certificate file for `name`, to be given to HAProxy. `pem` holds the key."""

    name: str
    path: Path
    pem: str


class CertificateStore:
    """Files below `certificates/`, one per name, and who still waits for one. Used from one event loop."""

    def __init__(self, files: HaproxyFiles, authority: Authority, platform_hosts: Iterable[str]) -> None:
        self.on_ready: Callable[[], None] = lambda: None
        self.failures: dict[str, str] = {}
        """Name → why it has no certificate of its own yet."""
        self._files = files
        self._authority = authority
        self._platform_hosts = tuple(sorted(platform_hosts))
        self._wanted: set[str] = set()
        self._have: dict[str, Path] = {}
        self._ready: list[Installed] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(PARALLEL)

    def path_of(self, name: str) -> Path:
        """The file of a name; a wildcard's star is spelled out."""
        if name == DEFAULT:
            return self._files.default_certificate
        return self._files.certificates / f"{name.replace('*', '_wildcard')}.pem"

    def have(self) -> dict[str, Path]:
        """Wanted names that have a certificate."""
        return {name: path for name, path in self._have.items() if name != DEFAULT}

    async def want(self, names: Iterable[str], patience_s: float) -> None:
        """Sees to it that all `names` get a certificate, and waits up to `patience_s` for those that are being made."""
        self._wanted = {DEFAULT, *(name for name in names if not _is_address(name))}
        for name in self.failures.keys() - self._wanted:
            del self.failures[name]
        for name in self._have.keys() - self._wanted:
            del self._have[name]  # HAProxy forgets it too; if it comes back, its file is installed anew
        self._ready = [one for one in self._ready if one.name in self._wanted]
        for name in self._wanted - self._have.keys() - self._tasks.keys():
            if not self._reuse(name):
                self._begin(name)
        awaited = [task for name, task in self._tasks.items() if name in self._wanted and name not in self.failures]
        if awaited:
            await asyncio.wait(awaited, timeout=patience_s)

    def take_ready(self) -> list[Installed]:
        """Certificates that HAProxy does not have yet; each is handed out once."""
        ready, self._ready = self._ready, []
        return ready

    def give_back(self, ready: Iterable[Installed]) -> None:
        """They could not be installed: HAProxy is away."""
        self._ready = [*ready, *self._ready]

    async def run(self) -> None:
        """Renews while running. Until cancelled."""
        try:
            while True:
                await asyncio.sleep(RENEWAL_CHECK_S)
                for name, path in list(self._have.items()):
                    if name not in self._tasks and self._due(name, path):
                        self._begin(name)
        finally:
            for task in list(self._tasks.values()):
                task.cancel()

    def _names(self, name: str) -> tuple[str, ...]:
        return self._platform_hosts if name == DEFAULT else (name,)

    def _due(self, name: str, path: Path) -> bool:
        try:
            return self._authority.due(_certificate_part(path.read_bytes()), datetime.now(UTC), self._names(name))
        except (OSError, ValueError):
            return True

    def _reuse(self, name: str) -> bool:
        """Takes the file of an earlier run, if it is still good."""
        path = self.path_of(name)
        if not path.exists() or self._due(name, path) or _self_signed(path):
            return False
        self._have[name] = path
        self._ready.append(Installed(name, path, path.read_text()))
        return True

    def _begin(self, name: str) -> None:
        self._tasks[name] = asyncio.create_task(self._obtain(name), name=f"certificate {name or 'default'}")

    async def _obtain(self, name: str) -> None:
        try:
            await self._sign(name)
        finally:
            del self._tasks[name]  # at once: who wants the name again must not wait for a task that has given up

    async def _sign(self, name: str) -> None:
        pause_s = FIRST_PAUSE_S
        while name in self._wanted:
            try:
                async with self._slots:
                    key, request = self._authority.key_and_request(self._names(name))
                    chain = await self._authority.sign(request, self._names(name))
            except (KokirisError, OSError) as error:
                self.failures[name] = str(error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            pem = key.decode().strip() + "\n" + _without_blank_lines(chain.decode())
            path = self.path_of(name)
            write_secret(path, pem.encode())
            if name in self._wanted:
                self._have[name] = path
                self._ready.append(Installed(name, path, pem))
                self.failures.pop(name, None)
                self.on_ready()
            return

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True  # no server name is sent for an address


def _certificate_part(pem: bytes) -> bytes:
    start = pem.find(b"-----BEGIN CERTIFICATE")
    if start < 0:
        raise ValueError("no certificate")
    return pem[start:]


def _self_signed(path: Path) -> bool:
    certificate = x509.load_pem_x509_certificate(_certificate_part(path.read_bytes()))
    return certificate.issuer == certificate.subject


def _without_blank_lines(text: str) -> str:
    """An empty line would end the payload of a runtime command."""
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"
