"""The rules that keep published ports reachable while dockerd is away: what they say, and that iptables takes them."""

from __future__ import annotations

import subprocess
from typing import Any

from kokiris.worker.drivers.port_rules import (
    Bridge,
    Chains,
    PublishedPort,
    bridge_of,
    published_ports,
    removals,
    restore_text,
    rules_by_container,
    rules_of,
    stands,
)

CHAINS = Chains.of("demo/rec1@0badcafe")
BRIDGE = Bridge("docker0", "172.17.0.0/16", open=True)
WEB = PublishedPort("tcp", "172.17.0.1", 20080, "172.17.0.2", 8080)
DATABASE = PublishedPort("udp", "", 23306, "172.17.0.3", 3306)
DOCKERS = """\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
"""


def container(address: str, ports: dict[str, Any]) -> dict[str, Any]:
    return {"Id": "f" * 64, "NetworkSettings": {"IPAddress": address, "Ports": ports}}


def kernel(*steps: str) -> str:
    """What iptables-save shows in a network of its own after these texts for iptables-restore."""
    script = "".join(f"iptables-restore --noflush <<'EOF' || exit 1\n{step}\nEOF\n" for step in steps)
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f"{script}iptables-save -t nat"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def appended(saved: str) -> list[str]:
    return [line for line in saved.splitlines() if line.startswith("-A")]


def test_ports_are_read_off_a_container() -> None:
    bound = [
        {"HostIp": "172.17.0.1", "HostPort": "20080"},
        {"HostIp": "127.0.0.1", "HostPort": "20081"},
        {"HostIp": "::", "HostPort": "20082"},
    ]
    everywhere = [{"HostIp": "0.0.0.0", "HostPort": "23306"}]
    assert published_ports(container("172.17.0.2", {"8080/tcp": bound, "9/tcp": None})) == [WEB]
    assert published_ports(container("172.17.0.3", {"3306/udp": everywhere})) == [DATABASE]
    assert published_ports(container("", {"8080/tcp": bound})) == [], "it has ended, or is in another's network"


def test_the_bridge_as_docker_describes_it() -> None:
    described = {"IPAM": {"Config": [{"Subnet": "fd00::/64"}, {"Subnet": "10.9.0.0/24"}]}, "Options": {}}
    assert bridge_of(described) == Bridge("docker0", "10.9.0.0/24", open=True)
    options = {"com.docker.network.bridge.name": "br9", "com.docker.network.bridge.enable_icc": "false"}
    assert bridge_of({**described, "Options": options}) == Bridge("br9", "10.9.0.0/24", open=False)


def test_iptables_keeps_them_word_for_word_and_twice_is_once() -> None:
    rules = [*rules_of(CHAINS, BRIDGE, "a" * 64, [WEB]), *rules_of(CHAINS, BRIDGE, "b" * 64, [DATABASE])]
    once = kernel(DOCKERS, restore_text(CHAINS, BRIDGE, rules, DOCKERS))
    assert set(rules) < set(appended(once))
    found = rules_by_container(CHAINS, once)
    assert set(found) == {"a" * 12, "b" * 12}
    assert {rule for one in found.values() for rule in one} == set(rules), "the next worker reads them back"
    again = kernel(DOCKERS, restore_text(CHAINS, BRIDGE, rules, DOCKERS), restore_text(CHAINS, BRIDGE, rules, once))
    assert appended(again) == appended(once)
    for chain, dockers in (("PREROUTING", "DOCKER"), ("OUTPUT", "DOCKER")):
        targets = [line.split()[-1] for line in appended(once) if line.startswith(f"-A {chain} ")]
        assert targets == [dockers, CHAINS.forth], "while dockerd's rules stand, they decide"


def test_what_dockerd_takes_out_leaves_ours() -> None:
    rules = rules_of(CHAINS, BRIDGE, "a" * 64, [WEB])
    flushed = kernel(DOCKERS, restore_text(CHAINS, BRIDGE, rules, DOCKERS), "*nat\n:DOCKER - [0:0]\nCOMMIT")
    assert set(rules) < set(appended(flushed))


def test_nothing_is_left_after_removal() -> None:
    rules = rules_of(CHAINS, BRIDGE, "a" * 64, [WEB])
    saved = kernel(DOCKERS, restore_text(CHAINS, BRIDGE, rules, DOCKERS))
    commands = "\n".join(" ".join(words) for words in removals(CHAINS, saved))
    gone = kernel(DOCKERS, restore_text(CHAINS, BRIDGE, rules, DOCKERS), f"*nat\n{commands}\nCOMMIT")
    assert "KOKIRIS" not in gone
    assert appended(gone) == appended(kernel(DOCKERS))
    assert list(removals(CHAINS, DOCKERS)) == []


def test_another_infras_chains_are_not_ours() -> None:
    other = Chains.of("demo/rec2@0badcafe")
    saved = kernel(DOCKERS, restore_text(other, BRIDGE, rules_of(other, BRIDGE, "a" * 64, [WEB]), DOCKERS))
    assert rules_by_container(CHAINS, saved) == {}
    assert list(removals(CHAINS, saved)) == []


def test_containers_that_may_not_meet_are_not_brought_together() -> None:
    closed = Bridge("docker0", "172.17.0.0/16", open=False)
    rules = rules_of(CHAINS, closed, "a" * 64, [WEB])
    saved = kernel(DOCKERS, restore_text(CHAINS, closed, rules, DOCKERS))
    jumps = [line for line in appended(saved) if line.endswith((CHAINS.forth, CHAINS.back))]
    assert [line.split()[1] for line in jumps] == ["OUTPUT"]


def test_where_dockerd_writes_no_rules_there_are_none() -> None:
    assert stands(CHAINS, BRIDGE, DOCKERS)
    assert not stands(CHAINS, Bridge("kktest1", "10.0.0.0/24", open=True), DOCKERS), "dockerd --iptables=false"
    assert not stands(CHAINS, BRIDGE, "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n")
    assert stands(CHAINS, BRIDGE, kernel(restore_text(CHAINS, BRIDGE, (), ""))), "dockerd is starting, ours are there"
