"""Whole job files: what they parse to (golden), and that their canonical form is stable.

`REWRITE_GOLDEN=1 pytest tests/orchestrator/jobspec/test_job_files.py` writes the golden files anew; read the diff then.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kokiris.orchestrator.jobspec import canonical, parse_hcl, parse_json, unsupported, validate

FILES = Path(__file__).parent / "files"
GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.name for path in FILES.iterdir())

REFUSED = {"everything.nomad.hcl", "exec_checks.nomad.hcl", "heredoc.nomad.hcl", "templates.nomad.hcl"}


def parsed(name: str) -> dict[str, Any]:
    text = (FILES / name).read_text()
    return parse_json(text, name) if name.endswith(".json") else parse_hcl(text, filename=name)


@pytest.mark.parametrize("name", NAMES)
def test_parses_to_its_golden_json(name: str) -> None:
    path = GOLDEN / f"{name}.json"
    found = parsed(name)
    if os.environ.get("REWRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_canonical_form_is_stable(name: str) -> None:
    job = canonical(parsed(name))
    assert canonical(msgspec.to_builtins(job)) == job
    assert canonical(json.loads(msgspec.json.encode(job))) == job


@pytest.mark.parametrize("name", NAMES)
def test_is_valid_and_acted_on(name: str) -> None:
    job = canonical(parsed(name))
    if name in REFUSED:
        assert unsupported(job)
        return
    assert validate(job) == []
    raw_exec = any(task.Driver == "raw_exec" for group in job.TaskGroups or () for task in group.Tasks or ())
    assert bool(unsupported(job)) == raw_exec, "raw_exec is for the platform's own jobs"
    assert unsupported(msgspec.structs.replace(job, Namespace="platform")) == []


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {f"{name}.json" for name in NAMES}
