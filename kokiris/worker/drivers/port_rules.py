"""The iptables rules that lead a node's published ports to its containers, in chains of the infra's own. Pure text.

dockerd writes such rules too, and takes all of them out whenever it starts, before it writes them anew: for a moment
nothing is reachable, not even a container that never stopped. Ours stand behind dockerd's, say the same, and stay.
They also serve containers that call each other by their published ports: dockerd leaves these to a process per port
that dies with dockerd, and every connection through it too.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONTAINER_DIGITS = 12
"""Of a container's id, in the comment of each of its rules."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """docker's default bridge. `subnet` in CIDR; `open`: its containers may call each other."""

    name: str
    subnet: str
    open: bool


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """`host_address` "": every address of the node."""

    protocol: str
    host_address: str
    host_port: int
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Chains:
    """`forth` changes where a connection goes, `back` makes the answer come back through the node."""

    forth: str
    back: str

    @classmethod
    def of(cls, infra_label: str) -> Chains:
        """Two infras on one machine have chains of their own."""
        digits = hashlib.sha256(infra_label.encode()).hexdigest()[:8]
        return cls(f"KOKIRIS-PORTS-{digits}", f"KOKIRIS-BACK-{digits}")


Rules = tuple[str, ...]
"""As iptables-save shows them: "-A CHAIN …"."""


def bridge_of(network: Mapping[str, Any]) -> Bridge:
    """Out of docker's word about its network "bridge"."""
    options = network.get("Options") or {}
    pools = (network.get("IPAM") or {}).get("Config") or ()
    return Bridge(
        name=str(options.get("com.docker.network.bridge.name") or "docker0"),
        subnet=next((str(pool["Subnet"]) for pool in pools if ":" not in pool.get("Subnet", ":")), ""),
        open=options.get("com.docker.network.bridge.enable_icc", "true") != "false",
    )


def published_ports(state: Mapping[str, Any]) -> list[PublishedPort]:
    """Out of a container's inspection; loopback and IPv6 are left to docker."""
    settings = state.get("NetworkSettings") or {}
    address = str(settings.get("IPAddress") or "")
    found = []
    for inside, bindings in (settings.get("Ports") or {}).items() if address else ():
        port, _, protocol = str(inside).partition("/")
        for binding in bindings or ():
            host = str(binding.get("HostIp") or "")
            if ":" not in host and not host.startswith("127.") and protocol in {"tcp", "udp"}:
                everywhere = host in {"", "0.0.0.0"}
                number = int(binding["HostPort"])
                found.append(PublishedPort(protocol, "" if everywhere else host, number, address, int(port)))
    return found


def rules_of(chains: Chains, bridge: Bridge, container_id: str, ports: Iterable[PublishedPort]) -> Rules:
    """Those of one container, in both chains."""
    mark = f"-m comment --comment {container_id[:CONTAINER_DIGITS]}"
    rules = []
    for one in ports:
        to = f"-d {one.host_address}/32 " if one.host_address else ""
        kind = f"-p {one.protocol} -m {one.protocol}"
        target = f"{one.address}:{one.port}"
        rules.append(f"-A {chains.forth} {to}{kind} --dport {one.host_port} {mark} -j DNAT --to-destination {target}")
        if bridge.subnet:
            rules.append(
                f"-A {chains.back} -s {bridge.subnet} -d {one.address}/32 {kind} --dport {one.port} "
                f"-m conntrack --ctstate DNAT {mark} -j MASQUERADE"
            )
    return tuple(rules)


def rules_by_container(chains: Chains, saved: str) -> dict[str, Rules]:
    """What an earlier worker left in our chains, by the first digits of the container's id."""
    found: dict[str, Rules] = {}
    for line in saved.splitlines():
        if line.startswith((f"-A {chains.forth} ", f"-A {chains.back} ")):
            words = shlex.split(line)
            if "--comment" in words:
                container = words[words.index("--comment") + 1]
                found[container] = (*found.get(container, ()), line)
    return found


def stands(chains: Chains, bridge: Bridge, saved: str) -> bool:
    """Whether rules are to be written at all: ours are there, or dockerd writes rules for the bridge itself. An
    operator who runs dockerd with --iptables=false wants none."""
    ours = f":{chains.forth} " in saved
    return ours or any(f" {option} {bridge.name} " in saved for option in ("-i", "-o"))


def restore_text(chains: Chains, bridge: Bridge, rules: Iterable[str], saved: str) -> str:
    """For `iptables-restore --noflush`: our chains whole, in one transaction, and what leads to them if missing."""
    lines = ["*nat", f":{chains.forth} - [0:0]", f":{chains.back} - [0:0]"]
    lines += [jump for jump in _jumps(chains, bridge) if not _has_jump(saved, jump)]
    return "\n".join((*lines, *rules, "COMMIT", ""))


def removals(chains: Chains, saved: str) -> Iterator[Sequence[str]]:
    """The arguments of `iptables -t nat` that take our chains out again."""
    lines = saved.splitlines()
    for line in lines:
        words = shlex.split(line)
        if words[:1] == ["-A"] and words[-1] in {chains.forth, chains.back}:
            yield ["-D", *words[1:]]
    for chain in (chains.forth, chains.back):
        if any(line.startswith(f":{chain} ") for line in lines):
            yield ["-F", chain]
            yield ["-X", chain]


def _jumps(chains: Chains, bridge: Bridge) -> list[str]:
    """Behind what is there: while dockerd's rules stand, they decide."""
    local = "-m addrtype --dst-type LOCAL"
    jumps = [f"-A OUTPUT ! -d 127.0.0.0/8 {local} -j {chains.forth}"]
    if bridge.open:
        jumps.append(f"-A PREROUTING {local} -j {chains.forth}")
        jumps.append(f"-A POSTROUTING -m conntrack --ctstate DNAT -j {chains.back}")
    return jumps


def _has_jump(saved: str, jump: str) -> bool:
    words = jump.split()
    return any(line.startswith(f"-A {words[1]} ") and line.endswith(f"-j {words[-1]}") for line in saved.splitlines())
