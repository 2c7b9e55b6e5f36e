"""What every API command shares: the client, and finding an object by the beginning of its id."""

from __future__ import annotations

import os
import string
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kokiris.access.exports import parse_exports
from kokiris.cli.client import Client, Endpoint, segment
from kokiris.cli.flags import GeneralOption, Group, value
from kokiris.cli.here import BASE
from kokiris.kernel.errors import BadInput, NotFound

F = TypeVar("F", bound=Callable[..., Any])


class ApiGroup(Group):
    """A group whose commands speak to the API: each takes Nomad's general options."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        cmd.params += [_general(flag, variable, text) for flag, variable, text in GENERAL if not _has(cmd, flag)]
        super().add_command(cmd, name)


GENERAL = (
    ("-address", "NOMAD_ADDR", "The API's address."),
    ("-region", "NOMAD_REGION", "The region."),
    ("-token", "NOMAD_TOKEN", "The token; safer in the environment, where other users do not see it."),
    ("-ca-cert", "NOMAD_CACERT", "The authority that signed the API's certificate."),
)


def _has(command: click.Command, flag: str) -> bool:
    return any(flag in one.opts for one in command.params)


def _general(flag: str, variable: str, text: str) -> click.Option:
    """An option that stands for the variable of the environment, for this process."""

    def take(ctx: click.Context, parameter: click.Parameter, given: str) -> None:
        del ctx, parameter
        if given:
            os.environ[variable] = given

    spellings = (flag, f"-{flag}", f"general_{variable.lower()}")
    return GeneralOption(
        spellings,
        callback=take,
        expose_value=False,
        metavar="VALUE",
        help=f"{text} (default: ${variable})",
    )


def namespace_option(command: F) -> F:
    """-namespace, as on every job command."""
    return value("namespace", "The namespace (default: $NOMAD_NAMESPACE, or default).", metavar="NAME")(command)


def open_client(namespace: str = "") -> Client:
    """A client by the environment; on a node with one infra and no environment, that infra's own token file is read."""
    environment = dict(os.environ)
    if not environment.get("NOMAD_ADDR"):
        environment |= _token_file_environment()
    if namespace:
        environment["NOMAD_NAMESPACE"] = namespace
    return Client(Endpoint.from_environment(environment))


def _token_file_environment() -> dict[str, str]:
    files = list(BASE.glob("*/*/token.env"))
    if len(files) > 1:
        names = ", ".join(sorted(f"{file.parent.parent.name}/{file.parent.name}" for file in files))
        raise BadInput(
            f"NOMAD_ADDR is not set, and several infras are on this node: {names}",
            next_step='Run `eval "$(kokiris env -client CLIENT -infra INFRA)"` first.',
        )
    if len(files) != 1 or not os.access(files[0], os.R_OK):
        return {}
    return parse_exports(files[0])


def find_job(client: Client, wanted: str) -> tuple[str, str]:
    """(namespace, id) of the job meant: an exact id, or the only one that starts so. Raises NotFound, BadInput."""
    stubs = client.get("/v1/jobs", {"prefix": wanted}).data
    exact = [stub for stub in stubs if stub["ID"] == wanted]
    found = exact or stubs
    if not found:
        raise NotFound(
            f'No job(s) with prefix or ID "{wanted}" found', next_step="`kokiris job status` lists the jobs."
        )
    if len(found) > 1:
        names = ", ".join(stub["ID"] for stub in found)
        raise BadInput(f'Prefix "{wanted}" matched multiple jobs: {names}', next_step="Give more of the name.")
    return found[0].get("Namespace", "default"), found[0]["ID"]


LISTED_BY = {
    "allocation": "`kokiris job allocs JOB` lists the allocations of a job, `kokiris alloc status` all of them.",
    "node": "`kokiris node status` lists the nodes.",
    "evaluation": "`kokiris eval list` lists the evaluations.",
    "deployment": "`kokiris deployment list` lists the deployments.",
}


def find_by_id(client: Client, path: str, wanted: str, what: str) -> dict[str, Any]:
    """The object of a list endpoint whose id starts with `wanted` (hex digits). Raises NotFound, BadInput."""
    if len(wanted) < 2:
        raise BadInput(f"Identifier must contain at least two characters: {wanted!r}", next_step=LISTED_BY[what])
    if len(wanted) == 36:
        return {"ID": wanted}
    wanted = wanted.lower()
    digits = len(wanted.replace("-", ""))
    prefix = wanted if digits % 2 == 0 else wanted[:-1]
    possible = set(wanted) <= {*string.hexdigits, "-"}
    stubs = (
        [one for one in client.get(path, {"prefix": prefix}).data if one["ID"].startswith(wanted)] if possible else []
    )
    if not stubs:
        raise NotFound(f'No {what}(s) with prefix or id "{wanted}" found', next_step=LISTED_BY[what])
    if len(stubs) > 1:
        names = ", ".join(one["ID"][:8] for one in stubs)
        raise BadInput(f'Prefix "{wanted}" matched multiple {what}s: {names}', next_step="Give more of the id.")
    found: dict[str, Any] = stubs[0]
    return found


def job_path(job_id: str, rest: str = "") -> str:
    """`/v1/job/<id><rest>`."""
    return f"/v1/job/{segment(job_id)}{rest}"
