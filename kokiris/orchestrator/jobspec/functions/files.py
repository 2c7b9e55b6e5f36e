"""Functions that look at the files of the machine; they work only where the caller allows it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from kokiris.orchestrator.jobspec.values import MAX_ITEMS, MAX_STRING, Value, ValueProblem, set_of, to_string

NAMES = ("abspath", "basename", "dirname", "file", "filebase64", "fileexists", "fileset", "pathexpand")


def filesystem_functions(base_dir: Path, allow: bool) -> dict[str, Callable[..., Value]]:
    """The functions, relative to `base_dir`; without `allow` they refuse by name."""
    if not allow:
        return dict.fromkeys(NAMES, _disabled)
    return {
        "abspath": lambda path: str(Path(to_string(path)).absolute()),
        "basename": lambda path: PurePosixPath(to_string(path)).name or ".",
        "dirname": lambda path: os.path.dirname(to_string(path)) or ".",  # noqa: PTH120 - keeps "./a" as Go does
        "file": lambda path: _text(_path(base_dir, path)),
        "filebase64": lambda path: base64.b64encode(_bytes(_path(base_dir, path))).decode(),
        "fileexists": lambda path: _path(base_dir, path).is_file(),
        "fileset": lambda folder, pattern: _fileset(_path(base_dir, folder), to_string(pattern)),
        "pathexpand": lambda path: os.path.expanduser(to_string(path)),  # noqa: PTH111 - a text in, a text out
    }


def _disabled(*_arguments: Value) -> Value:
    raise ValueProblem("filesystem function disabled: the server reads no files; it works in the command line")


def _path(base_dir: Path, path: Value) -> Path:
    text = to_string(path)
    if "\x00" in text:
        raise ValueProblem("a path has no NUL character")
    return base_dir / Path(os.path.expanduser(text))  # noqa: PTH111 - "~nobody" must not raise


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_STRING:
            raise ValueProblem(f"{path} is larger than {MAX_STRING} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ValueProblem(f"cannot read {path}: {error.strerror}") from None


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError:
        raise ValueProblem(f"{path} is not UTF-8 text; use filebase64") from None


def _fileset(folder: Path, pattern: str) -> Value:
    try:
        found = [path for path in folder.glob(pattern) if path.is_file()]
    except (ValueError, NotImplementedError, OSError) as error:
        raise ValueProblem(f"the pattern cannot be used: {error}") from None
    if len(found) > MAX_ITEMS:
        raise ValueProblem(f"more than {MAX_ITEMS} files")
    return set_of(tuple(path.relative_to(folder).as_posix() for path in found))
