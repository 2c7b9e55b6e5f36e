"""The syntax tree of HCL. Every node knows its source and the offsets it spans."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from kokiris.orchestrator.jobspec.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything with a place: `source.text[start:end]` is its text."""

    source: Source
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal(Node):
    """A number, boolean, null, or a string without interpolations."""

    value: str | Decimal | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(Node):
    """Text and what is interpolated, joined as a string; one interpolation alone keeps its type (`wraps`)."""

    parts: tuple[Expression, ...]
    wraps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateIf(Node):
    """`%{ if c }…%{ else }…%{ endif }`."""

    condition: Expression
    then: Template
    otherwise: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFor(Node):
    """`%{ for k, v in c }…%{ endfor }`."""

    key: str
    """"" when only the value is named."""
    value: str
    collection: Expression
    body: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Attr:
    """`.name`, or `["name"]` with a literal."""

    name: str
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """`[expression]`."""

    key: Expression
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Splat:
    """`[*]` or `.*`: the steps after it apply to every element (`full`), or the attributes after it do (`.*`)."""

    full: bool
    start: int


Step = Attr | Index | Splat


@dataclass(frozen=True, slots=True, kw_only=True)
class Access(Node):
    """A base and the steps into it, flat so that a long chain is no deep tree."""

    base: Expression
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference(Node):
    """A root name with literal steps: `var.x`, `attr.cpu.arch`, `env["a"]`."""

    root: str
    steps: tuple[Attr | Index, ...]
    steps_end: tuple[int, ...]
    """Where each step ends."""
    interpolation: str = ""
    """The text of the `${ … }` that holds nothing but this reference; "" elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    """`name(arguments)`; `expand` when the last one is followed by `...`."""

    name: str
    arguments: tuple[Expression, ...]
    expand: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Node):
    """`-x` or `!x`."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Node):
    """Left-associative operators of one precedence, flat: first, then (operator, operand)…"""

    first: Expression
    rest: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional(Node):
    """`c ? a : b`."""

    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuple(Node):
    """`[a, b]`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Object(Node):
    """`{ k = v }`; a key that is a bare name is a Literal."""

    items: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class For(Node):
    """`[for k, v in c : value if cond]` and `{for k, v in c : key => value... if cond}`."""

    key: str
    value: str
    collection: Expression
    result_key: Expression | None
    """None: a tuple is built."""
    result: Expression
    grouped: bool
    condition: Expression | None


Expression = (
    Literal
    | Template
    | TemplateIf
    | TemplateFor
    | Access
    | Reference
    | Call
    | Unary
    | Operation
    | Conditional
    | Tuple
    | Object
    | For
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute(Node):
    """`name = value`."""

    name: str
    value: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label of a block."""

    text: str
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Node):
    """`type "label" { … }`."""

    type: str
    labels: tuple[Label, ...]
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Body(Node):
    """Attributes (names are unique) and blocks, in order."""

    attributes: dict[str, Attribute] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
