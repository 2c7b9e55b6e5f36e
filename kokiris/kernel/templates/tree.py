"""What a template is made of, after parsing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kokiris.kernel.errors import BadInput


@dataclass(frozen=True, slots=True)
class Position:
    """1-based, in the template's source."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


class TemplateError(BadInput):
    """A template that cannot be parsed or rendered; the message begins with its name and position."""

    code = "template"
    default_next_step = "Correct the template at the place shown and try again."

    def __init__(self, name: str, position: Position, problem: str) -> None:
        super().__init__(f'template "{name}": {position}: {problem}')


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, number, boolean or nil."""

    value: Any


@dataclass(frozen=True, slots=True)
class Dot:
    """`.A.B`: fields of the present value; without names the value itself."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """`$x.A.B`; the name "" is `$`, the template's root."""

    name: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Group:
    """A parenthesised pipeline, with the fields taken of its value."""

    pipeline: Pipeline
    names: tuple[str, ...]


Operand = Literal | Dot | Variable | Function | Group


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each given the value of the one before as its last argument; `assign` names what is set."""

    at: Position
    commands: tuple[tuple[Operand, ...], ...]
    assign: tuple[str, ...] = ()
    declares: bool = True
    """`:=`, as opposed to `=`."""


@dataclass(frozen=True, slots=True)
class Text:
    """As it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """`{{ pipeline }}`."""

    pipeline: Pipeline


@dataclass(slots=True)
class Block:
    """`if`, `range` or `with`: `body` when there is something, `other` when not."""

    kind: str
    pipeline: Pipeline
    body: list[Node] = field(default_factory=list)
    other: list[Node] = field(default_factory=list)


Node = Text | Output | Block
