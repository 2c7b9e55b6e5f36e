"""Which value of a variable counts, and how values from outside are read."""

from __future__ import annotations

from typing import Any

import pytest

from kokiris.kernel.errors import JobFileError
from kokiris.orchestrator.jobspec import parse_hcl

JOB = """
variable "x" {
  type    = string
  default = "default"
}
job "a" { meta { x = var.x } }
"""


def meta(source: str, **given: Any) -> dict[str, str]:
    return dict(parse_hcl(source, filename="job.hcl", **given)["Meta"])


def test_the_later_source_wins() -> None:
    given: dict[str, Any] = {}
    assert meta(JOB, **given)["x"] == "default"
    given["environment"] = {"NOMAD_VAR_x": "environment", "NOMAD_VAR_other": "ignored", "x": "ignored"}
    assert meta(JOB, **given)["x"] == "environment"
    given["var_files"] = [("one.hcl", 'x = "first file"')]
    assert meta(JOB, **given)["x"] == "first file"
    given["var_files"].append(("two.hcl", 'x = "second file"'))
    assert meta(JOB, **given)["x"] == "second file"
    given["variables"] = {"x": "argument"}
    assert meta(JOB, **given)["x"] == "argument"


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("string", "[1, 2]", "[1, 2]"),
        ("string", 'say "hi" ${x}', 'say "hi" ${x}'),
        ("number", "5", "5"),
        ("bool", "true", "true"),
        ("list(string)", '["a", 1]', '["a","1"]'),
        ("set(number)", "[2, 1, 2]", "[1,2]"),
        ("map(string)", "{a = 1}", '{"a":"1"}'),
        ("object({a = number, b = optional(string)})", '{a = "1"}', '{"a":1,"b":null}'),
        ("tuple([string, number])", '["a", 2]', '["a",2]'),
        ("any", "{a = [1]}", '{"a":[1]}'),
    ],
)
def test_values_from_outside_are_read_by_type(kind: str, text: str, expected: str) -> None:
    as_text = "var.x" if kind in {"string", "number", "bool"} else "jsonencode(var.x)"
    source = f'variable "x" {{\n  type = {kind}\n}}\njob "a" {{\n  meta {{\n    x = {as_text}\n  }}\n}}'
    assert meta(source, variables={"x": text})["x"] == expected
    assert meta(source, environment={"NOMAD_VAR_x": text})["x"] == expected


def test_untyped_variables_are_texts_from_outside() -> None:
    source = 'variable "x" {}\njob "a" { meta { x = var.x } }'
    assert meta(source, variables={"x": "[1"})["x"] == "[1"


@pytest.mark.parametrize(
    ("given", "message", "place"),
    [
        ({"variables": {"y": "1"}}, '"y" was given with -var', ("", 0)),
        ({"var_files": [("v.hcl", "\ny = 1")]}, "Undefined variable", ("v.hcl", 2)),
        ({"var_files": [("v.hcl", 'variable "x" {}')]}, "A variable file assigns values", ("v.hcl", 1)),
        ({"var_files": [("v.hcl", "x = [")]}, "Expected", ("v.hcl", 1)),
        ({"var_files": [("v.hcl", "x = [1]")]}, "a string is needed", ("v.hcl", 1)),
        ({"var_files": [("v.hcl", "x = meta.y")]}, "cannot refer to anything", ("v.hcl", 1)),
    ],
)
def test_wrong_values_are_refused_with_their_place(given: Any, message: str, place: tuple[str, int]) -> None:
    with pytest.raises(JobFileError) as caught:
        parse_hcl(JOB, filename="job.hcl", **given)
    assert message in caught.value.message
    assert (caught.value.file, caught.value.line) == place


def test_lenient_about_undeclared_values_when_not_strict() -> None:
    given = {"variables": {"y": "1"}, "var_files": [("v.hcl", "z = 1")]}
    assert meta(JOB, strict_vars=False, **given)["x"] == "default"


def test_validation_sees_the_value_that_counts() -> None:
    source = """
variable "n" {
  type    = number
  default = 0
  validation {
    condition     = var.n > 0
    error_message = "Must be positive."
  }
}
job "a" { meta { n = var.n } }
"""
    assert meta(source, variables={"n": "3"})["n"] == "3"
    with pytest.raises(JobFileError, match="Must be positive"):
        parse_hcl(source, filename="job.hcl", variables={"n": "-3"})


def test_locals_in_any_order_and_shadowed_names() -> None:
    source = """
locals {
  c = "${local.b}c"
  b = "${local.a}b"
  a = "a"
}
job "a" {
  meta {
    c      = local.c
    shadow = join("", [for local in ["x"] : local])
    kept   = "${localx.y}"
  }
}
"""
    assert meta(source) == {"c": "abc", "shadow": "x", "kept": "${localx.y}"}
