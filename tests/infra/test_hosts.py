"""The hosts file keeps everything that is not ours, to the byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kokiris.infra.hosts import with_block, without_block
from kokiris.kernel.names import InfraName, Kind

ONE, TWO = InfraName("demo", Kind.REC, 1), InfraName("demo", Kind.REC, 12)
LINES = st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30), max_size=6)


def test_block() -> None:
    text = with_block("127.0.0.1 localhost\n", ONE, "127.0.0.1", ["a.x", "b.x"])
    assert text == (
        "127.0.0.1 localhost\n# kokiris demo/rec1 begin\n127.0.0.1 a.x\n127.0.0.1 b.x\n# kokiris demo/rec1 end\n"
    )
    assert with_block(text, ONE, "127.0.0.1", ["a.x", "b.x"]) == text, "idempotent"
    assert without_block(text, ONE) == "127.0.0.1 localhost\n"
    both = with_block(text, TWO, "127.0.0.2", ["c.x"])
    assert without_block(both, TWO) == text, "another infra's block stays"


@given(LINES, LINES)
def test_foreign_lines_survive(before: list[str], names: list[str]) -> None:
    text = "".join(f"{line}\n" for line in before).rstrip("\n") + "\n" if any(before) else ""
    assert without_block(with_block(text, ONE, "127.0.0.1", [n or "x" for n in names]), ONE).strip("\n") == text.strip(
        "\n"
    )
