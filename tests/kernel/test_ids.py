"""UUIDs, one by one and many at once."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.ids import id_at, is_id, new_id, new_ids, pack_id


def test_new_ids_are_valid_and_different() -> None:
    packed = new_ids(1000)
    texts = {id_at(packed, row) for row in range(1000)} | {new_id()}
    assert len(texts) == 1001
    assert all(is_id(text) for text in texts)
    assert new_ids(0) == b""


@given(st.uuids())
def test_packing(identifier: uuid.UUID) -> None:
    text = str(identifier)
    assert pack_id(text) == identifier.bytes
    assert id_at(b"x" * 32 + pack_id(text), 2) == text
    assert is_id(text)


@pytest.mark.parametrize(
    "text", ["", "x", str(uuid.uuid4()).upper() + "G", "a" * 36, str(uuid.uuid4()) + "\n", uuid.uuid4().hex]
)
def test_what_is_no_id(text: str) -> None:
    assert not is_id(text)
