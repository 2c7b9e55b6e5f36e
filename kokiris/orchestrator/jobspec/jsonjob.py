"""JSON job files: API JSON, with or without `{"Job": …}` around it, and HCL's JSON syntax."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kokiris.kernel.errors import JobFileError
from kokiris.orchestrator.jobspec.functions import filesystem_functions
from kokiris.orchestrator.jobspec.hcl import job_of
from kokiris.orchestrator.jobspec.jsonbody import body_of
from kokiris.orchestrator.jobspec.jsontree import parse_json_tree
from kokiris.orchestrator.jobspec.source import open_source


def parse_json(
    source: str | bytes,
    filename: str,
    *,
    variables: Mapping[str, str] | None = None,
    var_files: Sequence[tuple[str, str]] = (),
    environment: Mapping[str, str] | None = None,
    allow_files: bool = False,
    base_dir: Path | None = None,
    strict_vars: bool = True,
) -> dict[str, Any]:
    """The raw API JSON of a JSON job file; give it to `canonical`. The keyword arguments are those of `parse_hcl` and
    matter for HCL-JSON only. Raises JobFileError, with line and column for what is not JSON.
    """
    opened = open_source(filename, _text(source, filename))
    try:
        tree = parse_json_tree(opened)
        job = _api_job(opened.text, filename)
        if job is not None:
            return job
        return job_of(
            body_of(tree),
            filename,
            variables=variables or {},
            var_files=var_files,
            environment=environment or {},
            files=filesystem_functions(base_dir or Path(), allow_files),
            strict_vars=strict_vars,
        )
    except RecursionError:
        raise JobFileError("Invalid JSON: nested too deep", file=filename, line=1, column=1) from None


def _api_job(text: str, filename: str) -> dict[str, Any] | None:
    """The job of API JSON, None when the document is HCL's JSON syntax."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:  # what our own reader is more lenient about
        raise JobFileError(f"Invalid JSON: {error.msg}", file=filename, line=error.lineno, column=error.colno) from None
    if not isinstance(document, dict):
        return None
    folded = {key.lower(): key for key in document}
    if "job" in folded and _is_api_job(document[folded["job"]]):
        return dict(document[folded["job"]])
    if "job" not in folded and ("id" in folded or "taskgroups" in folded):
        return document
    return None


def _text(source: str | bytes, filename: str) -> str:
    if isinstance(source, str):
        return source
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        raise JobFileError(f"Not UTF-8: byte {error.start}", file=filename, line=1, column=1) from error


def _is_api_job(job: Any) -> bool:
    return isinstance(job, dict) and bool({"id", "taskgroups"} & {key.lower() for key in job})
