"""Flags as Nomad's command line has them: one dash before a word; two are accepted as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def flag(name: str, text: str) -> Callable[[F], F]:
    """A switch: `flag("detach", …)` is `-detach` or `--detach`, handed over as `detach`."""
    return click.option(*_spellings(name), is_flag=True, help=text)


def switch(name: str, text: str) -> Callable[[F], F]:
    """A switch that is on unless `-name=false` (or `-no-name`) is given."""
    return click.option(f"-{name}/-no-{name}", name.replace("-", "_"), default=True, help=text)


def value(name: str, text: str, *, default: Any = "", kind: Any = str, metavar: str = "VALUE") -> Callable[[F], F]:
    """An option with a value: `-namespace x`, `-namespace=x`."""
    return click.option(*_spellings(name), default=default, type=kind, help=text, metavar=metavar)


TEMPLATE = "kokiris.cli.template"
"""Where a context keeps the text given with -t."""


def json_output(command: F) -> F:
    """-json, and -t for what a Go template makes of the same data, as Nomad's commands have them."""

    def keep(ctx: click.Context, parameter: click.Parameter, given: str) -> None:
        del parameter
        ctx.meta[TEMPLATE] = given

    text = "What a Go template makes of the JSON: '{{ .ID }}'."
    command = click.option("-t", "template", help=text, metavar="TEMPLATE", expose_value=False, callback=keep)(command)
    return flag("json", "As JSON.")(command)


def values(name: str, text: str, *, metavar: str = "VALUE") -> Callable[[F], F]:
    """An option that may be given several times."""
    return click.option(*_spellings(name), multiple=True, help=text, metavar=metavar)


def _spellings(name: str) -> tuple[str, ...]:
    variable = name.replace("-", "_")
    return (f"-{name}", variable) if len(name) == 1 else (f"-{name}", f"--{name}", variable)


class Group(click.Group):
    """A command group that names the nearest command when one is mistyped, as git does.

    `absent`: verbs of Nomad's that this version does not have, each with the reason.
    """

    absent: ClassVar[Mapping[str, str]] = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # noqa: PLC0415 - only on this path; start-up time is felt by every user

            if reason := self.absent.get(args[0]):
                raise click.UsageError(f'"{args[0]}" is not part of this version: {reason}', ctx) from error
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near:
                raise
            raise click.UsageError(f'{error.message} Did you mean "{near[0]}"?', ctx) from error


TRUE, FALSE = frozenset({"1", "t", "true"}), frozenset({"0", "f", "false"})


def without_truth_values(args: Sequence[str], known: Sequence[click.Parameter], *, anywhere: bool) -> list[str]:
    """`-detach=true` as `-detach`, `-t=false` as its opposite or nothing: Go's spellings of a switch. Pure.

    Not `anywhere`: what follows the first argument belongs to somebody else's command line.
    """
    switches = {name: one for one in known if isinstance(one, click.Option) and one.is_flag for name in one.opts}
    taking = {name for one in known if isinstance(one, click.Option) and not one.is_flag for name in one.opts}
    found: list[str] = []
    for at, given in enumerate(args):
        if given == "--" or (not anywhere and not given.startswith("-") and not (at and args[at - 1] in taking)):
            return [*found, *args[at:]]
        name, equals, text = given.partition("=")
        option = switches.get(name)
        if option is None or not equals or text.lower() not in TRUE | FALSE:
            found.append(given)
        elif text.lower() in TRUE:
            found.append(name)
        else:
            found += option.secondary_opts[:1]
    return found


class GeneralOption(click.Option):
    """An option that many commands take; the help lists them apart, so that a command's own stand out."""


class Command(click.Command):
    """A command whose help ends with general options and examples."""

    def __init__(self, *args: Any, examples: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, but a wrong flag is named as it was typed, with the nearest known ones."""
        typed = list(args)
        args = without_truth_values(args, self.get_params(ctx), anywhere=ctx.allow_interspersed_args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            import difflib  # noqa: PLC0415 - only on this path

            wrong = next((one for one in typed if one.startswith(error.option_name)), error.option_name).partition("=")[
                0
            ]
            known = [spelling for parameter in self.get_params(ctx) for spelling in parameter.opts]
            near = difflib.get_close_matches(wrong, known, n=2)
            raise click.NoSuchOption(wrong, possibilities=near, ctx=ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """With -t, a command prepares what it prints as JSON."""
        if ctx.meta.get(TEMPLATE):
            ctx.params["json"] = True
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options, then the general ones."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        for title, general in (("Options", False), ("General options", True)):
            records = [one.get_help_record(ctx) for one in options if isinstance(one, GeneralOption) == general]
            if shown := [record for record in records if record]:
                with formatter.section(title):
                    formatter.write_dl(shown)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write_text(line.strip())
        super().format_epilog(ctx, formatter)
