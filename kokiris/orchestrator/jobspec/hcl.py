"""From the text of an HCL job file to the raw JSON of its job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kokiris.kernel.errors import JobFileError
from kokiris.orchestrator.jobspec.blocks import JOB
from kokiris.orchestrator.jobspec.decode import decode_block
from kokiris.orchestrator.jobspec.evaluate import Scope
from kokiris.orchestrator.jobspec.functions import FUNCTIONS, LAZY, filesystem_functions
from kokiris.orchestrator.jobspec.jsonbody import body_of
from kokiris.orchestrator.jobspec.jsontree import parse_json_tree
from kokiris.orchestrator.jobspec.parser import parse_body
from kokiris.orchestrator.jobspec.source import open_source
from kokiris.orchestrator.jobspec.suggest import did_you_mean
from kokiris.orchestrator.jobspec.syntax import Block, Body
from kokiris.orchestrator.jobspec.variables import locals_of, variables_of

_TOP_LEVEL = ("job", "variable", "variables", "locals")


def parse_hcl(
    source: str,
    *,
    filename: str,
    variables: Mapping[str, str] | None = None,
    var_files: Sequence[tuple[str, str]] = (),
    environment: Mapping[str, str] | None = None,
    allow_files: bool = False,
    base_dir: Path | None = None,
    strict_vars: bool = True,
) -> dict[str, Any]:
    """The job of an HCL file as raw API JSON (what goes into `{"Job": …}`); give it to `canonical`. A text that starts
    with a brace is read in HCL's JSON syntax.

    `variables` are -var values, `var_files` pairs of name and text, `environment` is looked at for NOMAD_VAR_*;
    `strict_vars` refuses values for variables that are not declared. Functions that read files work only with
    `allow_files`, relative to `base_dir`. Raises JobFileError with file, line and column, and nothing else.
    """
    try:
        return job_of(
            read_body(source, filename),
            filename,
            variables=variables or {},
            var_files=var_files,
            environment=environment or {},
            files=filesystem_functions(base_dir or Path(), allow_files),
            strict_vars=strict_vars,
        )
    except RecursionError:
        raise JobFileError(
            f"{filename}: blocks, expressions or values are nested too deep", file=filename, line=1, column=1
        ) from None


def read_body(source: str, filename: str) -> Body:
    """A text's blocks, in either syntax, nothing evaluated. Raises JobFileError, RecursionError for deep nesting."""
    opened = open_source(filename, source)
    is_json = opened.text.lstrip().startswith("{")
    return body_of(parse_json_tree(opened)) if is_json else parse_body(opened)


def job_of(
    body: Body,
    filename: str,
    *,
    variables: Mapping[str, str],
    var_files: Sequence[tuple[str, str]],
    environment: Mapping[str, str],
    files: Mapping[str, Any],
    strict_vars: bool,
) -> dict[str, Any]:
    """The job of a parsed file. Raises JobFileError."""
    job = _job_block(body, filename)
    outside = Scope(names={}, functions={**FUNCTIONS, **files}, lazy=LAZY, keep_unknown=False)
    values = variables_of(
        body,
        variables=variables,
        var_files=var_files,
        environment=environment,
        strict=strict_vars,
        outside=outside,
    )
    scope = Scope(names={"var": values, "local": {}}, functions=outside.functions, lazy=LAZY, budget=outside.budget)
    scope = scope.with_names({"local": locals_of(body, scope)})
    return normalise(decode_block(job, JOB, scope))


def _job_block(body: Body, filename: str) -> Block:
    for attribute in body.attributes.values():
        raise attribute.source.error(
            attribute.start,
            f'Unsupported argument: "{attribute.name}" is not expected at the top of a job file',
            next_step="Values of variables go into a -var-file; everything else stands inside job, variable or locals.",
        )
    jobs = [block for block in body.blocks if block.type == "job"]
    for block in body.blocks:
        if block.type not in _TOP_LEVEL:
            hint = did_you_mean(block.type, _TOP_LEVEL)
            raise block.source.error(
                block.start, f'Unsupported block: "{block.type}" is not expected at the top of a job file{hint}'
            )
    if not jobs:
        raise JobFileError(
            "Missing job block: a job block is required", file=filename, line=1, column=1,
            next_step='Write job "name" { … } around the groups.',
        )  # fmt: skip
    if len(jobs) > 1:
        line, column = jobs[0].source.place(jobs[0].start)
        raise jobs[1].source.error(
            jobs[1].start, f"Duplicate job block: a file has one; the first is at {filename}:{line},{column}"
        )
    return jobs[0]


def normalise(job: dict[str, Any]) -> dict[str, Any]:
    """What Nomad does after decoding: names from labels, tasks of the job in groups of their own, inherited vault and
    secrets, the default identity in its old place."""
    label = job.pop("label")
    job.setdefault("ID", label)
    job.setdefault("Name", label)
    tasks = job.pop("task", [])
    if tasks:
        job["TaskGroups"] = [
            *({"Name": task["Name"], "Tasks": [task]} for task in tasks), *job.get("TaskGroups", [])
        ]  # fmt: skip
    vault, secrets = job.pop("vault", None), job.pop("secret", [])
    for group in job.get("TaskGroups", []):
        group_vault, group_secrets = group.pop("vault", None), group.pop("secret", [])
        for task in group.get("Tasks", []):
            _inherit(task, vault if group_vault is None else group_vault, [*group_secrets, *secrets])
            _default_identity(task)
    return job


def _inherit(task: dict[str, Any], vault: dict[str, Any] | None, secrets: list[dict[str, Any]]) -> None:
    if vault is not None:
        task.setdefault("Vault", vault)
    if secrets:
        task["Secrets"] = [*task.get("Secrets", []), *secrets]


def _default_identity(task: dict[str, Any]) -> None:
    identities = task.get("Identities", [])
    for i, identity in enumerate(identities):
        if identity.get("Name", "") in {"", "default"}:
            task["Identity"] = identity
            del identities[i]
            break
    if not identities:
        task.pop("Identities", None)
