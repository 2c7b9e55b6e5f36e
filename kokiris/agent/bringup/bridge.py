"""What a dockerd of ours leaves in the machine's network when it ends: found as it was before, once we are down.

dockerd makes a bridge and chains of iptables, switches forwarding on, and then lets FORWARD drop what it does not know.
It takes none of it back by itself.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from kokiris.agent.third_parties import runs_dockerd
from kokiris.infra.config import Config, Layout
from kokiris.kernel.files import write_atomic

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
OWN_CHAINS = "DOCKER"
"""What the names of dockerd's chains begin with."""
USERS_CHAIN = "DOCKER-USER"


class NetworkBefore(msgspec.Struct):
    """How the machine forwarded packets before our dockerd ran, and whether its bridge was somebody else's."""

    forwarding: str
    forward_policy: str
    bridge: bool


def remember_network(config: Config, layout: Layout) -> None:
    """To be called before the agent starts; does nothing while it is known that a dockerd of ours has run."""
    if _file(layout).exists() or not config.worker or not runs_dockerd(config, layout):
        return
    before = NetworkBefore(
        forwarding=FORWARDING.read_text().strip(),
        forward_policy=policy_of(_rules("filter"), "FORWARD") or "ACCEPT",
        bridge=Path("/sys/class/net", config.docker.bridge).exists(),
    )
    write_atomic(_file(layout), msgspec.json.encode(before))


def restore_network(config: Config, layout: Layout) -> bool:
    """Once our dockerd has ended. What another dockerd of the machine uses stays. False: there was nothing to do."""
    if not _file(layout).exists():
        return False
    before = msgspec.json.decode(_file(layout).read_bytes(), type=NetworkBefore)
    alone = not _another_dockerd()
    for table in ("filter", "nat"):
        for words in removals(_rules(table), config.docker.bridge, alone=alone):
            subprocess.run(["iptables", "-w", "-t", table, *words], check=False, capture_output=True)
    if alone:
        subprocess.run(["iptables", "-w", "-P", "FORWARD", before.forward_policy], check=False, capture_output=True)
        with contextlib.suppress(OSError):
            FORWARDING.write_text(before.forwarding)
    if not before.bridge:
        subprocess.run(["ip", "link", "delete", config.docker.bridge], check=False, capture_output=True)
    _file(layout).unlink()
    return True


def policy_of(rules: str, chain: str) -> str:
    """The policy of a chain in the output of iptables-save; "" when it is not there. Pure."""
    found = [line.split()[1] for line in rules.splitlines() if line.startswith(f":{chain} ")]
    return found[0] if found else ""


def removals(rules: str, bridge: str, *, alone: bool) -> Iterator[list[str]]:
    """The arguments of iptables that take dockerd's rules out of one table, as iptables-save shows it. Pure.

    Those of our bridge; `alone`, all of dockerd's chains as well, but for what somebody wrote into DOCKER-USER.
    """
    lines = [shlex.split(line) for line in rules.splitlines() if line.startswith("-A ")]
    written = any(words[1] == USERS_CHAIN and words[2:] != ["-j", "RETURN"] for words in lines)

    def owned(chain: str) -> bool:
        return alone and chain.startswith(OWN_CHAINS) and not (written and chain == USERS_CHAIN)

    for words in lines:
        interfaces = {words[at + 1] for at, word in enumerate(words) if word in {"-i", "-o"}}
        if bridge in interfaces or owned(words[1]) or owned(words[words.index("-j") + 1] if "-j" in words else ""):
            yield ["-D", *words[1:]]
    for line in rules.splitlines():
        if line.startswith(":") and owned(line.split()[0][1:]):
            yield ["-X", line.split()[0][1:]]


def _rules(table: str) -> str:
    return subprocess.run(["iptables-save", "-t", table], check=False, capture_output=True, text=True).stdout


def _another_dockerd() -> bool:
    names = []
    for file in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended this very moment
            names.append(file.read_text().strip())
    return "dockerd" in names


def _file(layout: Layout) -> Path:
    return layout.run / "network-before.json"
