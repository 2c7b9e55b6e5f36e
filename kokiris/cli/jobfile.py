"""Reading a job file from disk or standard input, with its variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kokiris.kernel.errors import BadInput, JobFileError, KokirisError
from kokiris.orchestrator.jobspec import parse_hcl, parse_json, render_error, with_places


@dataclass(frozen=True, slots=True)
class JobFile:
    """A parsed job: `raw` is the API's JSON, `source` what the user wrote in the file `name`."""

    name: str
    raw: dict[str, Any]
    source: str
    format: str
    variables: dict[str, str]
    variable_files: str

    @property
    def job_id(self) -> str:
        return str(self.raw.get("ID") or self.raw.get("Name") or "")

    @contextmanager
    def placed(self) -> Iterator[None]:
        """A refusal that the server words inside leaves with the line of each thing it names, where it stands here."""
        try:
            yield
        except KokirisError as error:
            if self.format == "hcl2":
                error.message = with_places(error.message, self.source, self.name)
            raise

    def submission(self) -> dict[str, Any]:
        """What the server keeps, so that `job inspect -hcl` shows the source again."""
        return {
            "Source": self.source,
            "Format": self.format,
            "VariableFlags": self.variables,
            "Variables": self.variable_files,
        }


def read_job_file(
    file: str, *, variables: Sequence[str], var_files: Sequence[str], as_json: bool, namespace: str
) -> JobFile:
    """`-` is standard input. Raises BadInput with the place and the offending line."""
    source, name = _source(file)
    flags = dict(_variable(one) for one in variables)
    files = [(one, _text(one)) for one in var_files]
    is_json = as_json or name.endswith(".json")
    try:
        if is_json:
            raw = parse_json(source, name)
        else:
            raw = parse_hcl(
                source,
                filename=name,
                variables=flags,
                var_files=files,
                environment=os.environ,
                allow_files=True,
                base_dir=Path(file).resolve().parent if file != "-" else Path.cwd(),
            )
    except JobFileError as error:
        text = source if error.file in {"", name} else dict(files).get(error.file, "")
        raise BadInput(render_error(text, error), next_step=error.next_step) from error
    if namespace:
        raw = {**raw, "Namespace": namespace}
    return JobFile(name, raw, source, "json" if is_json else "hcl2", flags, "\n".join(text for _, text in files))


def _source(file: str) -> tuple[str, str]:
    return (sys.stdin.read(), "stdin") if file == "-" else (_text(file), file)


def _text(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}", next_step="Check the path.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 text (byte {error.start})") from error


def _variable(given: str) -> tuple[str, str]:
    name, equals, text = given.partition("=")
    if not equals or not name:
        raise BadInput(f'-var "{given}" is not of the form name=value')
    return name, text
