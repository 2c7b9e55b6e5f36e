"""Tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from kokiris.cli.flags import TEMPLATE
from kokiris.kernel.errors import KokirisError


def table(rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned with two spaces between, the first row being the head: the form Nomad's users grep and cut."""
    texts = [[_cell(cell) for cell in row] for row in rows]
    if not texts:
        return ""
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts
    )


def pairs(rows: Sequence[tuple[str, object]]) -> str:
    """`Name = value` lines, aligned."""
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name.ljust(width)} = {_cell(cell)}".rstrip() for name, cell in rows)


def _cell(cell: object) -> str:
    return "<none>" if cell in ("", None) else str(cell)


def say(text: str = "") -> None:
    """A line on standard output."""
    click.echo(text)


def note(text: str) -> None:
    """A line on standard error: progress and warnings, never data."""
    click.echo(text, err=True)


def tell(error: KokirisError) -> None:
    """An error on standard error, and the next step unless the message says it already."""
    click.secho(f"Error: {error.message}", err=True, fg="red" if sys.stderr.isatty() else None)
    if error.next_step and error.next_step not in error.message:
        note(f"Next: {error.next_step}")


def heading(text: str) -> None:
    """A section's title."""
    click.echo()
    click.secho(text, bold=sys.stdout.isatty())


def as_json(value: Any, *, seen_by_template: Any = None) -> None:
    """Indented JSON on standard output; with -t, what the template makes of the value (or of the one it shall see)."""
    context = click.get_current_context(silent=True)
    template = context.meta.get(TEMPLATE) if context is not None else None
    if template:
        click.echo(rendered(template, value if seen_by_template is None else seen_by_template), nl=False)
        return
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=4).decode())


def rendered(template: str, value: Any) -> str:
    """A Go template over decoded JSON, ending with a line's end. Raises TemplateError with the position. Pure."""
    from kokiris.kernel.templates.evaluation import Evaluation  # noqa: PLC0415 - only -t needs it
    from kokiris.kernel.templates.functions import PURE  # noqa: PLC0415 - as above
    from kokiris.kernel.templates.syntax import parse  # noqa: PLC0415 - as above

    text = Evaluation("-t", PURE).render(parse("-t", template), value)
    return text if text.endswith("\n") else text + "\n"


def short(identifier: str, *, whole: bool = False) -> str:
    """Eight characters of an id, or all of it with -verbose."""
    return identifier if whole else identifier[:8]


def ago(unix_ns: int, now_ns: int) -> str:
    """ "3m12s ago"; two units at the most."""
    if unix_ns <= 0:
        return "-"
    seconds = max(0, (now_ns - unix_ns) // 1_000_000_000)
    for size, unit, rest_size, rest_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            tail = rest // rest_size
            return f"{whole}{unit}{tail}{rest_unit} ago" if tail else f"{whole}{unit} ago"
    return f"{seconds}s ago"


def when(unix_ns: int) -> str:
    """RFC 3339 to the second, UTC."""
    return datetime.fromtimestamp(unix_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if unix_ns > 0 else "-"
