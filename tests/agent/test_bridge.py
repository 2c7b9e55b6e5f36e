"""What is taken out of iptables when our dockerd has ended."""

from __future__ import annotations

from kokiris.agent.bringup.bridge import policy_of, removals

FILTER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -p tcp -m comment --comment "of the operator" -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o other0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
"""


def left(rules: str, *, alone: bool) -> list[str]:
    """The lines that stay, once the removals are applied."""
    gone = [" ".join(words) for words in removals(rules, "docker0", alone=alone)]
    return [
        line for line in rules.splitlines()
        if f"-D{line[2:]}" not in gone and not any(line.startswith(f":{one[3:]} ") for one in gone)
    ]  # fmt: skip


def test_all_of_it_goes_and_nothing_else() -> None:
    kept = left(FILTER.replace('"of the operator"', "operator"), alone=True)
    assert [line for line in kept if "DOCKER" in line or "docker0" in line] == []
    assert {":INPUT ACCEPT [0:0]", "-A FORWARD -o other0 -j ACCEPT"} <= set(kept)
    assert any("operator" in line for line in kept)


def test_another_dockerd_keeps_its_chains() -> None:
    kept = left(FILTER, alone=False)
    assert [line for line in kept if "docker0" in line] == []
    assert {"-A FORWARD -j DOCKER-USER", ":DOCKER - [0:0]", "-A DOCKER-USER -j RETURN"} <= set(kept)


def test_what_the_operator_wrote_stays_in_force() -> None:
    rules = FILTER.replace("-A DOCKER-USER -j RETURN", "-A DOCKER-USER -s 10.0.0.0/8 -j DROP\n-A DOCKER-USER -j RETURN")
    kept = left(rules, alone=True)
    assert {"-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -s 10.0.0.0/8 -j DROP", ":DOCKER-USER - [0:0]"} <= set(kept)


def test_chains_are_removed_when_nothing_refers_to_them() -> None:
    words = list(removals(FILTER, "docker0", alone=True))
    assert [one[0] for one in words] == sorted((one[0] for one in words), key="-D -X".index)


def test_the_policy_before() -> None:
    assert policy_of(FILTER, "FORWARD") == "DROP"
    assert policy_of("", "FORWARD") == ""
