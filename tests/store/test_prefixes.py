"""The end of a prefix's range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.store.prefixes import prefix_end


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"a\xff\xffb", b"a\xff\xffc"), (b"", None), (b"\xff\xff", None)],
)
def test_the_end(prefix: bytes, end: bytes | None) -> None:
    assert prefix_end(prefix) == end


BYTES = st.lists(st.sampled_from([0, 1, 0x61, 0xFE, 0xFF]), max_size=5).map(bytes)


@given(BYTES, BYTES)
def test_the_range_holds_just_what_starts_with_the_prefix(prefix: bytes, key: bytes) -> None:
    end = prefix_end(prefix)
    assert (key >= prefix and (end is None or key < end)) is key.startswith(prefix)
