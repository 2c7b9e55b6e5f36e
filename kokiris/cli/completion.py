"""Shell completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kokiris.cli.flags import Command
from kokiris.kernel.errors import BadInput


@click.command(
    "completion", cls=Command, examples='eval "$(kokiris completion bash)"\nkokiris completion zsh > ~/.zfunc/_kokiris'
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Prints the completion script of a shell."""
    from kokiris.cli.main import root  # noqa: PLC0415 - the root command imports this module when it is called

    completion = get_completion_class(shell)
    if completion is None:
        raise BadInput(f'no completion for shell "{shell}"')
    click.echo(completion(root, {}, "kokiris", "_KOKIRIS_COMPLETE").source())
