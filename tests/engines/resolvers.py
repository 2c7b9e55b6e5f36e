"""Debian's unbound and dnsmasq that hand the zone `consul.` on to our DNS; HAProxy that fills its servers from it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.engines.daemon import Daemon, running
from tests.engines.ports import free_ports

UNBOUND = """
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  use-syslog: no
  module-config: "iterator"
  do-not-query-localhost: no
  domain-insecure: "consul."
{zone}:
  name: "consul."
  {zone_kind}-addr: 127.0.0.1@{dns_port}
remote-control:
  control-enable: no
"""
HAPROXY = """
global
    stats socket {folder}/admin.sock
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
    retries 3
    option redispatch
resolvers consul
    nameserver kokiris 127.0.0.1:{dns_port}
    accepted_payload_size 8192
    resolve_retries 3
    timeout resolve 100ms
    timeout retry 200ms
    hold valid 100ms
    hold nx 100ms
    hold obsolete 100ms
listen web
    bind 127.0.0.1:{port}
    balance roundrobin
    server-template web 4 _{service}._tcp.service.consul resolvers consul resolve-prefer ipv4 init-addr none
"""


@contextlib.asynccontextmanager
async def unbound(folder: Path, dns_port: int, zone_kind: str) -> AsyncIterator[int]:
    """Its port. `zone_kind`: "stub", as Consul's documentation has it, or "forward"."""
    (port,) = free_ports(1)
    text = UNBOUND.format(folder=folder, port=port, dns_port=dns_port, zone=f"{zone_kind}-zone", zone_kind=zone_kind)
    configuration = _configured(folder, text)
    async with running(["unbound", "-d", "-c", str(configuration)], folder / "log"):
        yield port


@contextlib.asynccontextmanager
async def dnsmasq(folder: Path, dns_port: int) -> AsyncIterator[int]:
    """Its port."""
    (port,) = free_ports(1)
    command = [
        "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--user=root", "--pid-file", "--no-resolv", "--no-hosts",
        "--bind-interfaces", "--listen-address=127.0.0.1", f"--port={port}", f"--server=/consul/127.0.0.1#{dns_port}",
        f"--conf-file={_configured(folder, '')}",
    ]  # fmt: skip
    async with running(command, folder / "log"):
        yield port


@contextlib.asynccontextmanager
async def haproxy_of(folder: Path, dns_port: int, service: str) -> AsyncIterator[tuple[int, Daemon]]:
    """The port on which it balances over the service's instances."""
    (port,) = free_ports(1)
    configuration = _configured(folder, HAPROXY.format(folder=folder, port=port, dns_port=dns_port, service=service))
    async with running(["haproxy", "-db", "-f", str(configuration)], folder / "log") as daemon:
        yield port, daemon


def _configured(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "configuration").write_text(text)
    return folder / "configuration"
