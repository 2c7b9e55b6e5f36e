"""What `var put` takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kokiris.cli.var import read_items
from kokiris.kernel.errors import BadInput


def test_items_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a=b\n")
    assert read_items(("a=1", "b=x=y", f"c=@{tmp_path / 'key'}")) == ({"a": "1", "b": "x=y", "c": "a=b\n"}, 0)


@pytest.mark.parametrize(
    ("document", "read"),
    [
        ({"a": "1"}, ({"a": "1"}, 0)),
        ({"Items": {"a": "1"}, "ModifyIndex": 7, "Path": "x"}, ({"a": "1"}, 7)),
        ({"ModifyIndex": "1"}, ({"ModifyIndex": "1"}, 0)),
    ],
)
def test_a_document_brings_the_index_it_was_read_at(tmp_path: Path, document: object, read: object) -> None:
    file = tmp_path / "variable.json"
    file.write_text(json.dumps(document))
    assert read_items((f"@{file}",)) == read


@pytest.mark.parametrize("arguments", [(), ("a",), ("=x",), ("a=@/nowhere/x",), ("@/nowhere/x",), ("@/dev/null",)])
def test_what_cannot_be_read_is_said(arguments: tuple[str, ...]) -> None:
    with pytest.raises(BadInput):
        read_items(arguments)
