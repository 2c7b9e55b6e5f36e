"""`kokiris`: thin doors onto the public APIs. What each command does lives behind the API, not here."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping
from typing import ClassVar

import click

from kokiris import __version__
from kokiris.cli.flags import Group
from kokiris.cli.output import tell
from kokiris.kernel.errors import HostError, Internal, KokirisError

COMMANDS = {
    "up": "kokiris.cli.infra:up_command",
    "down": "kokiris.cli.infra:down_command",
    "status": "kokiris.cli.infra:status_command",
    "agent": "kokiris.cli.infra:agent_command",
    "urls": "kokiris.cli.infra:urls_command",
    "env": "kokiris.cli.infra:env_command",
    "job": "kokiris.cli.job:job_group",
    "run": "kokiris.cli.job:run_command",
    "plan": "kokiris.cli.job:plan_command",
    "stop": "kokiris.cli.job:stop_command",
    "validate": "kokiris.cli.job:validate_command",
    "alloc": "kokiris.cli.alloc:alloc_group",
    "logs": "kokiris.cli.logs:search_command",
    "exec": "kokiris.cli.alloc:exec_command",
    "node": "kokiris.cli.node:node_group",
    "eval": "kokiris.cli.evaluation:eval_group",
    "deployment": "kokiris.cli.deployment:deployment_group",
    "namespace": "kokiris.cli.namespace:namespace_group",
    "var": "kokiris.cli.var:var_group",
    "db": "kokiris.cli.db:db_group",
    "addon": "kokiris.cli.addon:addon_group",
    "registry": "kokiris.cli.registry:registry_group",
    "version": "kokiris.cli.infra:version_command",
    "completion": "kokiris.cli.completion:completion_command",
}
"""Name → where it is; imported when it is called, because a command line must start fast."""


_BY_US = "`kokiris up` sees to it."


class Root(Group):
    """The top of the command line; the verbs of Nomad's that are not here say what is in their place."""

    absent: ClassVar[Mapping[str, str]] = {
        "acl": "the token that `kokiris up` has shown opens everything.",
        "action": "the block action of tasks is not acted on.",
        "agent-info": "`kokiris status` shows what runs here.",
        "config": _BY_US,
        "fmt": "`kokiris job validate` says where a file is wrong.",
        "fs": "write `kokiris alloc fs`.",
        "init": "write `kokiris job init`.",
        "inspect": "write `kokiris job inspect`.",
        "license": "there are no licenses.",
        "login": 'run `eval "$(kokiris env)"`.',
        "monitor": "the processes' logs are in the infra's folder `log`; `kokiris logs` finds the output of tasks.",
        "operator": _BY_US,
        "plugin": "there are no CSI plugins.",
        "quota": "there are no quotas of namespaces.",
        "recommendation": "there are no recommendations.",
        "scaling": "there is no autoscaler; `kokiris job scale` sets a group's count.",
        "sentinel": "there are no Sentinel policies.",
        "server": "`kokiris status` shows the server of this node.",
        "service": "the Consul API lists services and their health; so does its page, see `kokiris urls`.",
        "setup": _BY_US,
        "system": "finished allocations and evaluations are collected by themselves.",
        "tls": _BY_US,
        "ui": "`kokiris urls` prints the pages' addresses.",
        "volume": "a folder below `volumes` in the data folder of a node is a host volume of its name.",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        where = COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.command(cls=Root, context_settings={"help_option_names": ["-h", "-help", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-version", "--version", prog_name="kokiris")
def root() -> None:
    """A private container cloud: jobs in, sites out, one token.

    Start with `kokiris up`, then `eval "$(kokiris env)"` and `kokiris job run FILE`.
    """


def main() -> None:
    """The process: no error ends in a traceback; exit codes are those of Nomad's command line."""
    try:
        code = root.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code if error.exit_code != 2 else 1)
    except KokirisError as error:
        tell(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        tell(HostError(what, next_step="Check that the path exists and may be read and written by this user."))
        sys.exit(HostError.exit_code)
    except Exception as error:  # a defect of ours: its place is what a report needs
        place = traceback.extract_tb(error.__traceback__)[-1]
        tell(Internal(f"{type(error).__name__} at {place.filename}:{place.lineno}: {error}"))
        sys.exit(Internal.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
