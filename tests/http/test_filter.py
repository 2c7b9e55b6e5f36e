"""Filter expressions: what matches, what is refused, and that garbage never ends in anything but BadInput."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.http.filter import compile_filter
from kokiris.kernel.errors import BadInput


class Inner(msgspec.Struct):
    Cpu: int = 500
    Names: list[str] = msgspec.field(default_factory=lambda: ["a", "b"])


class Thing(msgspec.Struct):
    ID: str = "web-1"
    Count: int = 3
    Load: float = 0.5
    Ready: bool = True
    Tags: list[str] = msgspec.field(default_factory=lambda: ["http", "v2"])
    Meta: dict[str, str] = msgspec.field(default_factory=lambda: {"owner": "ops", "a.b/c": "1"})
    Inner: Inner | None = None
    Empty: list[str] = msgspec.field(default_factory=list)
    Ports: list[int] = msgspec.field(default_factory=lambda: [80, 443])


STRUCT = Thing(Inner=Inner())
DICT: dict[str, Any] = msgspec.to_builtins(STRUCT)

CASES = [
    ('ID == "web-1"', True),
    ("ID == `web-1`", True),
    ('ID != "web-1"', False),
    ('ID=="web-1"', True),
    ("Meta.owner == ops", True),
    ('Meta["a.b/c"] == "1"', True),
    ("Meta[`a.b/c`] == 1", True),
    ('"/Meta/owner" == "ops"', True),
    ("Meta.missing == x", False),
    ("Meta.missing != x", True),
    ("Meta.missing is empty", True),
    ("Meta.missing is not empty", False),
    ('"x" in Meta.missing', False),
    ('"x" not in Meta.missing', True),
    ("Meta.missing matches `.*`", False),
    ("Meta.missing not matches `.*`", True),
    ("Count == 3", True),
    ('Count == "3"', True),
    ("Count == 0x3", None),
    ('Count == "0x3"', True),
    ("Count != -3", True),
    ("Load == 0.5", True),
    ("Ready == true", True),
    ("Ready == false", False),
    ('Ready == "1"', True),
    ("http in Tags", True),
    ('"http" in Tags', True),
    ('"nope" in Tags', False),
    ('"nope" not in Tags', True),
    ('Tags contains "v2"', True),
    ('Tags not contains "v2"', False),
    ("443 in Ports", True),
    ("8080 in Ports", False),
    ("owner in Meta", True),
    ("nobody in Meta", False),
    ('"eb-" in ID', True),
    ('ID contains "eb-"', True),
    ("Empty is empty", True),
    ("Tags is not empty", True),
    ("ID is empty", False),
    ("Inner is nil", False),
    ("Inner is not nil", True),
    ("Inner.Cpu == 500", True),
    ("Inner.Names.1 == b", True),
    ('Inner.Names["0"] == a', True),
    ("ID matches `^web-[0-9]+$`", True),
    ('ID matches "^api"', False),
    ('ID not matches "^api"', True),
    ("not ID == x", True),
    ("not not Ready == true", True),
    ("not (Count == 3 and Ready == true)", False),
    ("Count == 4 or Count == 3 and Ready == true", True),
    ("(Count == 4 or Count == 3) and Ready == false", False),
    ("Count == 3 or Bogus == 1", True),  # not evaluated
    (" \n( Count == 3 )\t", True),
    ("", True),
]


@pytest.mark.parametrize("datum", [STRUCT, DICT], ids=["struct", "dict"])
@pytest.mark.parametrize(("expression", "wanted"), CASES)
def test_matches_like_go_bexpr(expression: str, wanted: bool | None, datum: Any) -> None:
    if wanted is None:
        with pytest.raises(BadInput):
            compile_filter(expression)
    else:
        assert compile_filter(expression)(datum) is wanted


@pytest.mark.parametrize(
    ("expression", "position"),
    [
        ("Status = running", 8),
        ("Status ==", 10),
        ("(Status == a", 13),
        ("Status == a)", 12),
        ("Status == a b", 13),
        ('"web" == Name', 1),
        ("Status is full", 8),
        ("and", 4),
        ('A["x" == 1', 7),
        ("A[x] == 1", 3),
        ("A. == 1", 4),
        ("Name == web-1", 12),
        ('Name matches "("', 14),
        ('Name == "unterminated', 9),
        (r'Name == "bad \q escape"', 9),
        ("not", 4),
        ("a in 3", 6),
    ],
)
def test_a_broken_expression_names_the_position(expression: str, position: int) -> None:
    with pytest.raises(BadInput, match=f"at position {position}$"):
        compile_filter(expression)


@pytest.mark.parametrize("datum", [STRUCT, DICT], ids=["struct", "dict"])
@pytest.mark.parametrize("expression", ["Bogus == 1", "Inner.Bogus == 1", "Tags.x == 1", "Tags.9 == 1", "ID.x == 1"])
def test_an_unknown_field_is_an_error(expression: str, datum: Any) -> None:
    with pytest.raises(BadInput, match="error finding value in datum"):
        compile_filter(expression)(datum)


@pytest.mark.parametrize(
    "expression",
    [
        "Ready == maybe",
        "Count == many",
        "Load == x",
        "Tags == http",
        "1 in Count",
        "Count is empty",
        "Count matches `1`",
    ],
)
def test_an_operator_that_does_not_fit_is_an_error(expression: str) -> None:
    with pytest.raises(BadInput):
        compile_filter(expression)(STRUCT)


def test_fields_of_an_absent_struct_are_absent() -> None:
    datum = Thing(Inner=None)
    assert compile_filter("Inner is nil")(datum)
    assert not compile_filter("Inner.Cpu == 500")(datum)
    assert compile_filter("Inner.Cpu != 500")(datum)


def test_nesting_is_bounded() -> None:
    with pytest.raises(BadInput, match="levels"):
        compile_filter("not " * 500 + "a == 1")
    with pytest.raises(BadInput, match="levels"):
        compile_filter("(" * 500 + "a == 1" + ")" * 500)
    with pytest.raises(BadInput, match="limit"):
        compile_filter("a == 1 or " * 5000 + "a == 1")


WORDS = ["ID", "Count", "Tags", "Meta", ".", "[", "]", "(", ")", "==", "!=", "in", "not", "is", "empty", "nil", "and"]
PIECES = st.one_of(
    st.sampled_from([*WORDS, "or", "contains", "matches", '"x"', "`y`", "7", "-1.5", "true", '"/ID"']),
    st.text(max_size=4),
)


@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_garbage_is_bad_input_at_worst(expression: str) -> None:
    for datum in (STRUCT, DICT):
        with contextlib.suppress(BadInput):
            assert compile_filter(expression)(datum) in {True, False}


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_quoted_value_is_compared_as_it_is(value: str, other: str) -> None:
    quoted = msgspec.json.encode(value).decode()
    assert compile_filter(f"ID == {quoted}")({"ID": value})
    assert compile_filter(f"ID == {quoted}")({"ID": other}) is (value == other)
