"""What is wrong with a job file is said with its place."""

from __future__ import annotations

import pytest

from kokiris.kernel.errors import JobFileError
from kokiris.orchestrator.jobspec import parse_hcl, parse_json, render_error

TABLE: list[tuple[str, str, int, int]] = [
    # broken syntax
    ('job "a" {', "found the end of the file", 1, 10),
    ('job "a" {\n  x = \n}', "Expected a value, found the end of the line", 2, 7),
    ('job "a" {\n  name = "x\n}', "closing quote is missing", 2, 10),
    ('job "a" {\n  name = "${var.x"\n}', "closing quote is missing", 2, 18),
    ('job "a" {\n  name = <<EOF\n  x\n}', 'no line holds just "EOF"', 2, 10),
    ('job "a" {\n  name = << EOF\n', "Invalid heredoc", 2, 10),
    ('job "a" {\n  /* x\n}', "closing */ is missing", 2, 3),
    ("job 'a' {}", 'strings are written in " quotes', 1, 5),
    ('job "a" {\n  name = "b" type = "c"\n}', 'end of the line after the value of "name"', 2, 14),
    ('job "a" {\n  name: "b"\n}', 'Expected "=" after "name", found ":"', 2, 7),
    ('job "a" {\n  "name" = "b"\n}', "are not quoted", 2, 3),
    ('job "a" {\n  name = "b"\n  name = "c"\n}', '"name" is set twice', 3, 3),
    ('job "a" {\n  name = "\\d"\n}', 'Invalid escape "\\d"', 2, 11),
    ('job "a" {\n  name = "${}"\n}', "Empty interpolation", 2, 11),
    ('job "a" {\n  name = "%{ if true }x"\n}', "endif } is missing", 2, 11),
    ('job "a" {\n  name = "%{ endif }x"\n}', "Unexpected %{ endif }", 2, 11),
    ('job "a" {\n  name = "%{date}"\n}', "Write %%{", 2, 11),
    ('job "a" {\n  datacenters = ["a" "b"]\n}', "after an item of the list", 2, 22),
    ('job "a" {\n  meta = { a.b = 1 }\n}', "Ambiguous key a.b", 2, 12),
    ('job "a" {\n  name = 1 +\n}', "Expected a value", 2, 13),
    ('job "${var.x}" {}', "labels are plain strings", 1, 5),
    ('job "a" {\n  name = ' + "(" * 80 + "1" + ")" * 80 + "\n}", "Nested too deep", 2, 59),
    ("a {\n" * 80 + "}\n" * 80, "Nested too deep", 51, 4),
    ('job "a" {\n  priority = 1e999\n}', "out of range", 2, 14),
    # top level
    ("", "Missing job block", 1, 1),
    ('x = 1\njob "a" {}', '"x" is not expected at the top', 1, 1),
    ('job "a" {}\njob "b" {}', "Duplicate job block", 2, 1),
    ('jobs "a" {}', 'did you mean "job"?', 1, 1),
    ("job {}", "Missing name for job", 1, 1),
    ('job "a" "b" {}', 'Extraneous label "b"', 1, 9),
    # unknown blocks and arguments
    ('job "a" {\n  datacentres = ["x"]\n}', 'not expected in job "a"; did you mean "datacenters"?', 2, 3),
    ('job "a" {\n  grup "b" {}\n}', 'did you mean "group"?', 2, 3),
    (
        'job "a" {\n  group "g" {\n    task "t" {\n      resources {\n        mem = 1\n      }\n    }\n  }\n}',
        'not expected in group "g" task "t" resources; did you mean "memory"?',
        5,
        9,
    ),
    ('job "a" {\n  group "g" {\n    network = {}\n  }\n}', '"network" in group "g" is a block', 3, 5),
    ('job "a" {\n  type {\n  }\n}', '"type" in job "a" is an argument', 2, 3),
    ('job "a" {\n  update {}\n  update {}\n}', 'only one "update" may stand in job "a"', 3, 3),
    ('job "a" {\n  group "g" {\n    volume "v" {}\n    volume "v" {}\n  }\n}', "Duplicate block", 4, 5),
    ('job "a" {\n  group {\n  }\n}', "Missing name for group", 2, 3),
    ('job "a" {\n  group "g" {\n    task "t" {\n      lifecycle {}\n    }\n  }\n}', 'argument "hook"', 4, 7),
    ('job "a" {\n  meta {\n    x {\n    }\n  }\n}', "has no blocks", 3, 5),
    # values
    ('job "a" {\n  priority = "high"\n}', 'Invalid value for "priority" in job "a": a number is needed', 2, 14),
    ('job "a" {\n  priority = 1.5\n}', "a whole number is needed, found 1.5", 2, 14),
    ('job "a" {\n  priority = 1e30\n}', "is out of range: whole numbers have 64 bits", 2, 14),
    ('job "a" {\n  datacenters = "dc1"\n}', "a list is needed, found string", 2, 17),
    ('job "a" {\n  all_at_once = "maybe"\n}', "true or false is needed", 2, 17),
    ('job "a" {\n  update {\n    stagger = "30"\n  }\n}', '"30" is not a duration', 3, 15),
    ('job "a" {\n  name = ["x"]\n}', "a string is needed, found list", 2, 10),
    ('job "a" {\n  priority = meta.x\n}', 'the string "${meta.x}"', 2, 14),
    # evaluation
    ('job "a" {\n  name = var.x\n}', 'there is no "x"', 2, 13),
    ('variable "owner" { default = 1 }\njob "a" {\n  name = var.ownr\n}', 'did you mean "owner"?', 3, 13),
    ('job "a" {\n  name = local.a.b\n}', 'there is no "a"', 2, 15),
    ('locals { a = local.b\n}\njob "a" {}', 'there is no "b"', 1, 19),
    ('locals {\n  a = local.b\n  b = local.a\n}\njob "a" {}', "depends on itself", 2, 3),
    ('locals {\n  a = 1\n}\nlocals {\n  a = 2\n}\njob "a" {}', "defined twice", 5, 3),
    ('job "a" {\n  priority = 1 / 0\n}', "division by zero", 2, 18),
    ('job "a" {\n  name = "a" + 1\n}', 'found the string "a"', 2, 16),
    ('job "a" {\n  name = [1][3]\n}', "3 is outside a list of 1", 2, 13),
    ('job "a" {\n  name = "x${[1]}"\n}', "a list cannot be put into a string", 2, 14),
    ('job "a" {\n  name = "x" ? 1 : 2\n}', "Invalid condition", 2, 10),
    ('job "a" {\n  name = [for x in 5 : x]\n}', "found number", 2, 10),
    ('job "a" {\n  name = {for x in ["a", "a"] : x => x}\n}', "twice", 2, 10),
    ('job "a" {\n  name = nope(1)\n}', 'no function "nope"', 2, 10),
    ('job "a" {\n  dynamic "group" {\n    for_each = 5\n    content {}\n  }\n}', "Invalid for_each", 3, 16),
    ('job "a" {\n  dynamic "group" {\n    for_each = []\n  }\n}', 'one block, "content"', 2, 3),
    ('job "a" {\n  dynamic "group" {\n    content {}\n  }\n}', 'needs "for_each"', 2, 3),
    # variables
    ('variable "x" {}\njob "a" {}', 'Unset variable "x"', 1, 1),
    ('variable "x" {\n  type = strin\n}\njob "a" {}', 'did you mean "string"?', 2, 10),
    ('variable "x" {\n  type = number\n  default = "b"\n}\njob "a" {}', "a number is needed", 3, 13),
    ('variable "x" {\n  defalt = 1\n}\njob "a" {}', 'did you mean "default"?', 2, 3),
    ('variable "x" { default = 1 }\nvariable "x" { default = 1 }\njob "a" {}', "declared twice", 2, 1),
    ('variable "x" {\n  default = meta.y\n}\njob "a" {}', "cannot refer to anything", 2, 13),
    (
        'variable "x" {\n  default = 1\n  validation {\n    condition = true\n    error_message = "m"\n  }\n}'
        '\njob "a" {}',
        "must refer to var.x",
        4,
        17,
    ),
    (
        'variable "x" {\n  default = 1\n  validation {\n    condition = var.x > 1\n'
        '    error_message = "Too small."\n  }\n}\njob "a" {}',
        'Invalid value for variable "x": Too small.',
        2,
        13,
    ),
]


@pytest.mark.parametrize(("source", "message", "line", "column"), TABLE, ids=[f"{i}" for i in range(len(TABLE))])
def test_message_and_place(source: str, message: str, line: int, column: int) -> None:
    with pytest.raises(JobFileError) as caught:
        parse_hcl(source, filename="job.nomad.hcl")
    error = caught.value
    assert message in f"{error.message} {error.next_step}"
    assert (error.file, error.line, error.column) == ("job.nomad.hcl", line, column)


JSON_TABLE: list[tuple[str, str, int, int]] = [
    ("", "expected a value", 1, 1),
    ('{"a": 1,\n "b": 2,\n}', "a comma before", 3, 1),
    ('{"Job": }', "expected a value", 1, 9),
    ("[1]", "An object is needed", 1, 1),
    ('{"job": {"x": {"grup": {}}}}', 'did you mean "group"?', 1, 16),
    ('{"job": {"x": {"name": "${nope(1)}"}}}', 'no function "nope"', 1, 24),
    ('{"x": 1}', "not expected at the top", 1, 2),
    ("[" * 100, "Nested too deep", 1, 52),
]


@pytest.mark.parametrize(("source", "message", "line", "column"), JSON_TABLE)
def test_json_message_and_place(source: str, message: str, line: int, column: int) -> None:
    with pytest.raises(JobFileError) as caught:
        parse_json(source, "job.json")
    assert message in caught.value.message
    assert (caught.value.file, caught.value.line, caught.value.column) == ("job.json", line, column)


def test_json_that_is_not_utf8() -> None:
    with pytest.raises(JobFileError, match="Not UTF-8"):
        parse_json(b"\xff", "job.json")


def test_rendered_with_line_and_caret() -> None:
    source = 'job "a" {\n\tdatacentres = ["x"]\n}\n'
    with pytest.raises(JobFileError) as caught:
        parse_hcl(source, filename="my.nomad.hcl")
    assert render_error(source, caught.value) == (
        'my.nomad.hcl:2,2: Unsupported argument: "datacentres" is not expected in job "a";'
        ' did you mean "datacenters"?\n'
        "\n"
        '  2 | \tdatacentres = ["x"]\n'
        "    | \t^\n"
        "\n"
        "Correct the job file at the place shown and run `kokiris job validate` again."
    )


def test_rendered_without_place_and_with_long_lines() -> None:
    bare = JobFileError("message", next_step="Do it.")
    assert render_error("", bare) == "message\n\nDo it."
    long = JobFileError("m", file="f", line=1, column=5000, next_step="n")
    shown = render_error("x" * 10_000, long).splitlines()
    assert all(len(line) < 200 for line in shown)
    assert render_error("one line", JobFileError("m", file="f", line=9, column=1)).startswith("f:9,1: m")


def test_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(JobFileError, match="MiB"):
        parse_hcl("#" * (2 * 1024 * 1024), filename="x")
    with pytest.raises(JobFileError, match="too large"):
        parse_hcl('job "a" {\n  name = ' + "1+" * 200_000 + "1\n}", filename="x")


EXPLOSIVE = [
    'locals {\n  a0 = "xxxxxxxxxx"\n'
    + "".join(f'  a{i} = join("", [for _ in range(10) : local.a{i - 1}])\n' for i in range(1, 12))
    + '}\njob "a" {}',
    "locals {\n  a0 = [1]\n"
    + "".join(f"  a{i} = [local.a{i - 1}, local.a{i - 1}]\n" for i in range(1, 40))
    + '}\njob "a" {}',
    'job "a" {\n  name = length([for a in range(1000) : [for b in range(1000) : [for c in range(1000) : c]]])\n}',
    'job "a" {\n  name = "${replace(' + 'indent(900, "' + "\\n" * 20_000 + '"), " ", "yyyyyyyyyyyyyyyy")}"\n}',
    "locals {\n  a0 = [1]\n"
    + "".join(f"  a{i} = [local.a{i - 1}]\n" for i in range(1, 5000))
    + '}\njob "a" {\n  name = jsonencode(local.a4999)\n}',
]


@pytest.mark.parametrize("source", EXPLOSIVE, ids=["strings", "shared", "loops", "replace", "deep"])
def test_what_would_explode_is_an_error(source: str) -> None:
    with pytest.raises(JobFileError):
        parse_hcl(source, filename="x")
