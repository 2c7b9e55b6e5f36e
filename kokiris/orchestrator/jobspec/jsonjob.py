"""JSON job files: API JSON, with or without `{"Job": …}` around it, and HCL's JSON syntax."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kokiris.kernel.errors import JobFileError
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
    text = _text(source, filename)
    try:
        document = json.loads(open_source(filename, text).text)
    except json.JSONDecodeError as error:
        raise JobFileError(
            f"Invalid JSON: {error.msg}", file=filename, line=error.lineno, column=error.colno
        ) from error
    except RecursionError:
        raise JobFileError("Invalid JSON: nested too deep", file=filename, line=1, column=1) from None
    except ValueError as error:
        raise JobFileError(f"Invalid JSON: {error}", file=filename, line=1, column=1) from error
    if not isinstance(document, dict):
        raise JobFileError("A JSON job file is an object", file=filename, line=1, column=1)
    folded = {key.lower(): key for key in document}
    if "job" in folded and _is_api_job(document[folded["job"]]):
        return dict(document[folded["job"]])
    if "job" not in folded and ("id" in folded or "taskgroups" in folded):
        return document
    raise JobFileError('A JSON job file is {"Job": { … }} as the API takes it', file=filename, line=1, column=1)


def _text(source: str | bytes, filename: str) -> str:
    if isinstance(source, str):
        return source
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        raise JobFileError(f"Not UTF-8: byte {error.start}", file=filename, line=1, column=1) from error


def _is_api_job(job: Any) -> bool:
    return isinstance(job, dict) and bool({"id", "taskgroups", "name"} & {key.lower() for key in job})
