"""Whatever is given, the parser answers with a job or a JobFileError."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput, JobFileError
from kokiris.orchestrator.jobspec import canonical, parse_hcl, parse_json, render_error, unsupported, validate, warnings

FILES = [path.read_text() for path in sorted((Path(__file__).parent / "files").glob("*.hcl"))]
JSON_FILES = [path.read_text() for path in sorted((Path(__file__).parent / "files").glob("*.json"))]
PIECES = [
    '"', "${", "}", "{", "%{", "~}", "<<EOF\n", "EOF\n", "\n", "=", "(", ")", "[", "]", ",", "...", "?", ":", "=>",
    "for", "in", "if", "else", "endif", "endfor", "null", "var.x", "local.y", "[*]", ".*", "-", "!", "&&", "||", "/*",
    "*/", "#", "//", "\\", "\x00", "é", "😀", "1e5", "0", "dynamic", "content", "job", "group", "$${", "each.value",
]  # fmt: skip


def attempt(source: str) -> None:
    try:
        raw = parse_hcl(source, filename="fuzz")
    except JobFileError as error:
        render_error(source, error)
        return
    try:
        job = canonical(raw)
    except BadInput:
        return
    validate(job)
    unsupported(job)
    warnings(job)


@given(st.text(max_size=200))
def test_any_text(source: str) -> None:
    attempt(source)


@given(st.lists(st.sampled_from([*PIECES, " ", "a", "b"]), max_size=40))
def test_any_row_of_pieces(pieces: list[str]) -> None:
    attempt("".join(pieces))
    attempt('job "x" {\n  meta {\n    a = ' + "".join(pieces) + "\n  }\n}")


@settings(max_examples=150)
@given(st.data())
def test_damaged_files(data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(FILES))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(source)))
        cut = data.draw(st.integers(0, 12))
        source = source[:at] + data.draw(st.sampled_from([*PIECES, ""])) + source[at + cut :]
    attempt(source)


@given(st.data())
def test_damaged_json(data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(JSON_FILES))
    at = data.draw(st.integers(0, len(source)))
    source = source[:at] + data.draw(st.sampled_from([*PIECES, ""])) + source[at + data.draw(st.integers(0, 5)) :]
    try:
        raw = parse_json(source, "fuzz.json")
        canonical(raw)
    except BadInput:
        return


def test_a_deep_caller_gets_an_error_too() -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
            return
        attempt('job "a" {\n  name = ' + "[" * 49 + "]" * 49 + "\n}")

    deep(700)
