"""Operators and targets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.orchestrator.model.policy import Constraint
from kokiris.orchestrator.scheduler import versions
from kokiris.orchestrator.scheduler.constraints import OPERANDS, Attributes, compile_pattern, holds, resolve


@pytest.mark.parametrize(
    ("operand", "left", "right", "expected"),
    [
        ("=", "a", "a", True),
        ("==", "a", "b", False),
        ("is", "a", "a", True),
        ("=", None, "a", False),
        ("=", None, None, False),
        ("!=", "a", "b", True),
        ("not", "a", "a", False),
        ("!=", None, "a", True),
        ("<", "9", "10", True),
        ("<", "1.5", "1.25", False),
        (">=", "b", "a", True),
        (">", None, "1", False),
        ("is_set", "", "", True),
        ("is_set", None, "", False),
        ("is_not_set", None, "", True),
        ("is_not_set", "x", "", False),
        ("regexp", "web-12", "^web-[0-9]+$", True),
        ("regexp", "db", "web|db", True),
        ("regexp", "db", "[", False),
        ("regexp", None, ".*", False),
        ("set_contains", "a,b, c", "c,a", True),
        ("set_contains", "a,b", "a,z", False),
        ("set_contains_all", "a,b", "b", True),
        ("set_contains_any", "a,b", "z,b", True),
        ("set_contains_any", "a,b", "z", False),
        ("version", "1.2.3", ">= 1.2, < 2", True),
        ("version", "1.2.3", "~> 1.2.0", True),
        ("version", "1.3.0", "~> 1.2.0", False),
        ("version", "1.3", "~> 1.2", True),
        ("version", "2.0", "~> 1.2", False),
        ("version", "v1.2", "= 1.2.0", True),
        ("version", "1.3.0-beta1", ">= 1.2", False),
        ("version", "1.3.0-beta2", ">= 1.3.0-beta1", True),
        ("version", "20.10.24+dfsg1", ">= 20.10", True),
        ("version", "nonsense", ">= 1", False),
        ("version", "1.0", "nonsense", False),
        ("semver", "1.3.0-beta1", ">= 1.2.0", True),
        ("semver", "1.3.0-beta1", ">= 1.3.0", False),
        ("semver", "1.2", ">= 1.0.0", False),
        ("semver", "1.0.0-alpha.10", "> 1.0.0-alpha.9", True),
        ("unheard_of", "a", "a", False),
    ],
)
def test_operators(operand, left, right, expected):
    assert holds(operand, left, right) is expected


@given(operand=st.sampled_from(sorted(OPERANDS)), left=st.none() | st.text(), right=st.none() | st.text())
def test_no_input_is_an_error(operand, left, right):
    assert holds(operand, left, right) in {True, False}


@given(text=st.text(alphabet="0123456789.-+~abv<>=, ", max_size=30))
def test_versions_never_fail(text):
    assert versions.satisfies(text, text, strict=False) in {True, False}
    assert versions.satisfies("1.0.0", text, strict=True) in {True, False}


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "((a*)b?)*c", "(a{1,5}){2,}", ".*.*.*.*.*.*x", "(" * 2000])
def test_expressions_that_could_run_away_are_refused(pattern):
    assert compile_pattern(pattern) is None


@pytest.mark.parametrize(
    "pattern", [r"^web-[0-9]+$", r"(?i)linux|darwin", r"^(a|b)\.example\.com$", r"\(x\)+", "[(+)]+"]
)
def test_ordinary_expressions_are_accepted(pattern):
    assert compile_pattern(pattern) is not None


def test_targets(box):
    node = box.node(7, NodeClass="big", Meta={"rack": "r1"}, attributes={"unique.hostname": "h"})
    expected = {
        "${node.unique.id}": node.ID,
        "${node.unique.name}": "node-7",
        "${node.datacenter}": "dc1",
        "${node.class}": "big",
        "${node.pool}": "default",
        "${attr.kernel.name}": "linux",
        "${attr.unique.hostname}": "h",
        "${meta.rack}": "r1",
        "${meta.none}": None,
        "${attr.none}": None,
        "${env.HOME}": None,
        "literal": "literal",
    }
    assert {target: resolve(node, target) for target in expected} == expected


def test_masks_follow_nodes(box):
    attributes = Attributes()
    constraint = Constraint(LTarget="${meta.rack}", Operand="=", RTarget="r1")
    attributes.set_row(0, box.node(0, Meta={"rack": "r1"}))
    assert attributes.mask(constraint).tolist() == [True]
    for row in range(1, 200):
        attributes.set_row(row, box.node(row, Meta={"rack": f"r{row % 2}"}))
    assert attributes.mask(constraint).tolist() == [True] + [row % 2 == 1 for row in range(1, 200)]
    attributes.set_row(1, None)
    attributes.set_row(0, box.node(0))
    assert attributes.mask(constraint).tolist()[:4] == [False, False, False, True]
    assert attributes.values("${meta.rack}")[:4] == [None, None, "r0", "r1"]
