"""What the shell offers for an argument: files, jobs, allocations. Silent when the infra does not answer."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from kokiris.kernel.errors import KokirisError

TIMEOUT_S = 2.0
SHORT = 8


def files(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The shell's own list of files."""
    del ctx, parameter
    return [CompletionItem(typed, type="file")]


def jobs(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Ids of jobs."""
    del parameter
    return [CompletionItem(one["ID"]) for one in _listed(ctx, "/v1/jobs", typed)]


def allocations(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Short ids of allocations, with their names; those of jobs where the command is told to take one (-job)."""
    if ctx.params.get("job") is True:
        return jobs(ctx, parameter, typed)
    found = [one for one in _listed(ctx, "/v1/allocations", "") if one["ID"].startswith(typed)]
    return [CompletionItem(one["ID"] if len(typed) > SHORT else one["ID"][:SHORT], help=one["Name"]) for one in found]


def _listed(ctx: click.Context, path: str, prefix: str) -> list[dict[str, Any]]:
    from kokiris.cli.session import open_client  # noqa: PLC0415 - a command line must start fast

    try:
        client = open_client(ctx.params.get("namespace") or "")
        found: list[dict[str, Any]] = client.get(path, {"prefix": prefix}, timeout_s=TIMEOUT_S).data
    except KokirisError:
        return []
    return found
