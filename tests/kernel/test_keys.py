"""Store keys: any text fits into a part, and comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.keys import key, parts, prefix

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@pytest.mark.parametrize(
    ("given_parts", "wanted"),
    [(("a", "b"), b"/a/b"), (("a/b",), b"/a%2Fb"), (("é", ""), b"/%C3%A9/"), (("%2F",), b"/%252F"), ((), b"")],
)
def test_written(given_parts: tuple[str, ...], wanted: bytes) -> None:
    assert key(*given_parts) == wanted


@given(st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, min_size=1, max_size=4))
def test_parts_come_back(above: list[str], below: list[str]) -> None:
    assert parts(key(*above, *below), prefix(*above)) == below


@given(st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, min_size=1, max_size=3))
def test_different_parts_are_different_keys(one: list[str], other: list[str]) -> None:
    assert (key(*one) == key(*other)) is (one == other)


@given(TEXT, TEXT, TEXT)
def test_a_prefix_holds_only_what_is_below(one: str, other: str, below: str) -> None:
    assert key(other, below).startswith(prefix(one)) is (one == other)
