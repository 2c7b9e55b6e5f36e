"""HAProxy with TLS before APIs that listen on loopback in clear: what the VIP is to the platform's own doors."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.engines.certificates import make_certificates
from tests.engines.daemon import running
from tests.engines.ports import free_ports

DEADLINE_S = 60.0

GLOBAL = """
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
"""
DOOR = """
listen door{port}
    bind 127.0.0.1:{port} ssl crt {pem}
    server door 127.0.0.1:{behind}
"""


@dataclass(frozen=True)
class TlsFront:
    """`ports` in the order of the ports behind; `ca` is what a client has to trust."""

    ports: tuple[int, ...]
    ca: Path

    def address(self, number: int = 0) -> str:
        """host:port."""
        return f"127.0.0.1:{self.ports[number]}"

    def url(self, number: int = 0) -> str:
        return f"https://{self.address(number)}"


@contextlib.asynccontextmanager
async def tls_front(folder: Path, *behind: int) -> AsyncIterator[TlsFront]:
    """One TLS port for each port behind; ready when the block begins."""
    ports = tuple(free_ports(len(behind)))
    configuration, ca = _configured(folder, dict(zip(ports, behind, strict=True)))
    async with running(["haproxy", "-db", "-f", str(configuration)], folder / "haproxy.log") as haproxy:
        context = ssl.create_default_context(cafile=str(ca))
        async with asyncio.timeout(DEADLINE_S):
            for port in ports:
                while not await _accepts(port, context):
                    haproxy.assert_runs()
                    await asyncio.sleep(0.02)
        yield TlsFront(ports, ca)


def _configured(folder: Path, doors: dict[int, int]) -> tuple[Path, Path]:
    """HAProxy's configuration and the CA."""
    made = make_certificates(folder)
    pem = folder / "both.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    configuration = folder / "haproxy.cfg"
    listeners = (DOOR.format(port=port, pem=pem, behind=behind) for port, behind in doors.items())
    configuration.write_text(GLOBAL + "".join(listeners))
    return configuration, made.ca


async def _accepts(port: int, context: ssl.SSLContext) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
