"""The rules of an infra, as a table and over all small infras."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.infra.rules import PlannedNode, check_rules
from kokiris.kernel.errors import RuleBroken
from kokiris.kernel.names import InfraName, Kind

FULL = (True, True, True)


def nodes(*roles: tuple[bool, bool, bool]) -> list[PlannedNode]:
    return [PlannedNode(f"n{number}", *role) for number, role in enumerate(roles)]


@pytest.mark.parametrize(
    ("kind", "roles", "rule"),
    [
        (Kind.REC, [FULL], ""),
        (Kind.REC, [FULL, FULL], "one node"),
        (Kind.REC, [], "one node"),
        (Kind.PPD, [FULL], "three nodes"),
        (Kind.PRD, [FULL, FULL], "three nodes"),
        (Kind.PRD, [FULL, FULL, FULL], ""),
        (Kind.PRD, [FULL, FULL, FULL, FULL], "odd servers"),
        (Kind.PRD, [FULL, FULL, FULL, (False, True, False)], ""),
        (Kind.REC, [(False, True, True)], "odd servers"),
        (Kind.REC, [(True, False, True)], "every role"),
        (Kind.REC, [(True, True, False)], "every role"),
    ],
)
def test_rules(kind: Kind, roles: list[tuple[bool, bool, bool]], rule: str) -> None:
    infra = InfraName("demo", kind, 1)
    if not rule:
        check_rules(infra, nodes(*roles))
        return
    with pytest.raises(RuleBroken, match=f'rule "{rule}"') as caught:
        check_rules(infra, nodes(*roles))
    assert str(infra) in caught.value.message


def test_two_nodes_of_one_name_are_refused() -> None:
    with pytest.raises(RuleBroken, match='two nodes named "a"'):
        check_rules(InfraName("demo", Kind.PRD, 1), [PlannedNode("a", *FULL)] * 3)


@given(st.sampled_from(Kind), st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=7))
def test_what_passes_has_a_quorum_and_every_role(kind: Kind, roles: list[tuple[bool, bool, bool]]) -> None:
    try:
        check_rules(InfraName("demo", kind, 1), nodes(*roles))
    except RuleBroken:
        return
    assert sum(server for server, _, _ in roles) % 2 == 1
    assert len(roles) == 1 if kind is Kind.REC else len(roles) >= 3
    assert any(worker for _, worker, _ in roles)
    assert any(edge for _, _, edge in roles)
