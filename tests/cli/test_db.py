"""Dumps as people have them, and answers that hold their next step."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kokiris.cli.client import _parted
from kokiris.cli.db import opened_dump
from kokiris.kernel.errors import BadInput

DUMP = b"CREATE TABLE t (x INT);\n" * 1000


@pytest.mark.parametrize("written", [DUMP, gzip.compress(DUMP)])
def test_a_dump_may_be_packed(tmp_path: Path, written: bytes) -> None:
    file = tmp_path / "dump"
    file.write_bytes(written)
    with opened_dump(str(file)) as opened:
        assert opened.read() == DUMP


@pytest.mark.parametrize("written", [gzip.compress(DUMP)[:-10], b"\x1f\x8bno", None])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, written: bytes | None) -> None:
    file = tmp_path / "dump"
    if written is not None:
        file.write_bytes(written)
    with pytest.raises(BadInput, match="dump cannot be read: "):
        opened_dump(str(file))


@pytest.mark.parametrize(
    ("body", "header", "parted"),
    [
        ('"X" is no name\nUse "kokiris…" not', 'Use "kokiris?" not', ('"X" is no name', 'Use "kokiris…" not')),
        ("job not found", "Check the name", ("job not found", "Check the name")),
        ("two\n\nlines", "Other", ("two\nlines", "Other")),
        ("", None, ("", None)),
    ],
)
def test_an_answers_next_step_is_told_once(body: str, header: str | None, parted: tuple[str, str | None]) -> None:
    assert _parted(body, header) == parted
