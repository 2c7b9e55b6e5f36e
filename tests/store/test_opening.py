"""Which store a configuration gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kokiris.kernel.errors import BadInput
from kokiris.store.opening import open_store
from kokiris.store.sqlite.store import SqliteStore


async def test_sqlite_is_created(tmp_path: Path) -> None:
    store = await open_store("sqlite", path=tmp_path / "new" / "store")
    assert isinstance(store, SqliteStore)
    await store.close()


@pytest.mark.parametrize(("kind", "word"), [("etcd", "endpoints"), ("postgres", "postgres"), ("", "does not exist")])
async def test_what_cannot_be_opened_says_why(kind: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=word) as caught:
        await open_store(kind, path=tmp_path)
    assert caught.value.next_step
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a test may block
