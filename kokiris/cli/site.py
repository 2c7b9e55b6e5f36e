"""Addresses, and waiting until one answers through the VIP."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from kokiris.access.bootstrap import door_address
from kokiris.agent.bringup.up import Say, vip_get
from kokiris.infra.config import Config, Layout
from kokiris.kernel.errors import BadInput, Unavailable

WAIT_TIMEOUT_S = 120.0


def platform_addresses(config: Config) -> list[tuple[str, str]]:
    """(address, what answers), in the order of the design's table."""
    names = config.addresses
    return [
        (door_address(config, names.vip), "the VIP: point domain names here"),
        (door_address(config, names.traefikadmin) + "/dashboard/", "routing panel"),
        (door_address(config, names.consul) + "/", "service discovery"),
        (door_address(config, names.nomad) + "/", "container orchestrator"),
        (door_address(config, names.pma) + "/", "phpMyAdmin (add-on phpmyadmin)"),
        (f"https://{config.registry_server}/", _registry_purpose(config)),
        (door_address(config, names.kib) + "/", "log search"),
    ]


def _registry_purpose(config: Config) -> str:
    return "Docker registry (another infra's)" if config.registry.server else "Docker registry (add-on registry)"


def wait_for(config: Config, layout: Layout, url: str, say: Say, timeout_s: float = WAIT_TIMEOUT_S) -> None:
    """Returns once `url` answers 200 through the VIP. Raises Unavailable with the last answer."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise BadInput(f'"{url}" is not an https address')
    deadline = time.monotonic() + timeout_s
    shown = False
    while True:
        try:
            status, body = vip_get(config, layout, parts.hostname, parts.path or "/")
            problem = "" if status == 200 else f"{status} {body[:200].decode(errors='replace').strip()}"
        except OSError as error:
            problem = str(error)
        if not problem:
            return
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{url} does not answer through the VIP after {timeout_s:.0f} s: {problem}",
                next_step="Run `kokiris job status` and look at the routing panel.",
            )
        if not shown:
            say(f"waiting for {url}")
            shown = True
        time.sleep(0.1)


def next_commands(config: Config, layout: Layout, url: str, kokiris: str) -> list[str]:
    """Three commands worth trying, one after the other, in the shell that calls this program `kokiris`. Pure."""
    ca_file = layout.tls / "ca.pem"
    site = url or door_address(config, config.addresses.vip) + "/"
    if config.ports.https != 443 and url:
        parts = urlsplit(url)
        site = f"https://{parts.hostname}:{config.ports.https}{parts.path}"
    return [
        f"curl --cacert {ca_file} {site}",
        f'eval "$({kokiris} env)" && kokiris job status site',
        f"kokiris logs 'host:{urlsplit(site).hostname}' -since 15m",
    ]
