"""Variables and locals of a job file.

Which value counts, the last one wins: default < environment NOMAD_VAR_<name> < variable files in order < -var.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kokiris.kernel.errors import JobFileError
from kokiris.orchestrator.jobspec.evaluate import Scope, evaluate
from kokiris.orchestrator.jobspec.expressions import parse_whole_expression
from kokiris.orchestrator.jobspec.parser import parse_body
from kokiris.orchestrator.jobspec.references import references_of
from kokiris.orchestrator.jobspec.source import open_source
from kokiris.orchestrator.jobspec.suggest import did_you_mean
from kokiris.orchestrator.jobspec.syntax import Attribute, Block, Body, Expression, Node, Reference
from kokiris.orchestrator.jobspec.types import ANY, TypeOf, convert_value, parse_type
from kokiris.orchestrator.jobspec.values import Value, ValueProblem, to_bool, to_string, weigh

ENVIRONMENT_PREFIX = "NOMAD_VAR_"
_MAX_PARTS = 200_000


@dataclass(frozen=True, slots=True)
class _Validation:
    condition: Expression
    message: str


@dataclass(slots=True)
class _Variable:
    """A declared variable and the value that counts so far."""

    name: str
    node: Node
    type: TypeOf | None = None
    """None: any value; from outside it is a string."""
    validations: list[_Validation] = field(default_factory=list)
    value: Value = None
    given: bool = False
    given_at: Node | None = None


def variables_of(
    body: Body,
    *,
    variables: Mapping[str, str],
    var_files: Sequence[tuple[str, str]],
    environment: Mapping[str, str],
    strict: bool,
    outside: Scope,
) -> dict[str, Value]:
    """The value of every declared variable. Raises JobFileError for one without value, of the wrong type, that breaks
    its validation, or (when `strict`) given from outside without being declared. `outside` has no names.
    """
    declared = _declared(body, outside)
    for name, variable in declared.items():
        if (text := environment.get(ENVIRONMENT_PREFIX + name)) is not None:
            _set_text(variable, text, f"<value for var.{name} from env>", outside)
    for file_name, text in var_files:
        _set_file(declared, file_name, text, strict=strict, outside=outside)
    for name, text in variables.items():
        if name in declared:
            _set_text(declared[name], text, f"<value for var.{name} from arguments>", outside)
        elif strict:
            raise JobFileError(
                f'Variable "{name}" was given with -var but the job file does not declare it'
                f"{did_you_mean(name, declared)}",
                next_step=f'Declare it in the job file: variable "{name}" {{}}, or leave it out.',
            )
    return {name: _final(variable, outside) for name, variable in declared.items()}


def _declared(body: Body, outside: Scope) -> dict[str, _Variable]:
    declared: dict[str, _Variable] = {}
    for block in body.blocks:
        if block.type == "variable":
            found = [_declare(block, outside)]
        elif block.type == "variables":
            found = [_declare_short(attribute, outside) for attribute in block.body.attributes.values()]
        else:
            continue
        for variable in found:
            if variable.name in declared:
                raise variable.node.source.error(
                    variable.node.start, f'Duplicate variable: "{variable.name}" is declared twice'
                )
            declared[variable.name] = variable
    return declared


def _declare_short(attribute: Attribute, outside: Scope) -> _Variable:
    value = evaluate(attribute.value, outside)
    return _Variable(attribute.name, attribute, value=value, given=True, given_at=attribute.value)


def _declare(block: Block, outside: Scope) -> _Variable:
    if len(block.labels) != 1:
        raise block.source.error(block.start, 'A variable block has one label, its name: variable "name" { … }')
    variable = _Variable(block.labels[0].text, block)
    for attribute in block.body.attributes.values():
        if attribute.name not in {"description", "default", "type"}:
            known = ("description", "default", "type", "validation")
            raise attribute.source.error(
                attribute.start,
                f'Unsupported argument "{attribute.name}" in variable "{variable.name}"'
                f"{did_you_mean(attribute.name, known)}",
            )
    if "type" in block.body.attributes:
        variable.type = parse_type(block.body.attributes["type"].value)
    if "default" in block.body.attributes:
        default = block.body.attributes["default"].value
        _set(variable, evaluate(default, outside), default)
    for inner in block.body.blocks:
        if inner.type != "validation":
            raise inner.source.error(inner.start, f'Unsupported block "{inner.type}" in variable "{variable.name}"')
        variable.validations.append(_validation(inner, variable.name, outside))
    return variable


def _validation(block: Block, name: str, outside: Scope) -> _Validation:
    attributes = block.body.attributes
    for needed in ("condition", "error_message"):
        if needed not in attributes:
            raise block.source.error(block.start, f'The validation of variable "{name}" needs "{needed}"')
    message = to_string(evaluate(attributes["error_message"].value, outside))
    condition = attributes["condition"].value
    references = [node for node in references_of(condition) if node.root == "var"]
    if not any(_is_variable(node, name) for node in references):
        raise condition.source.error(
            condition.start, f'The condition for variable "{name}" must refer to var.{name} and to nothing else'
        )
    return _Validation(condition, message)


def _is_variable(node: Reference, name: str) -> bool:
    return bool(node.steps) and getattr(node.steps[0], "name", None) == name


def _set(variable: _Variable, value: Value, node: Node) -> None:
    try:
        weigh(value, _MAX_PARTS)
        variable.value = convert_value(value, variable.type or ANY)
    except ValueProblem as problem:
        raise node.source.error(node.start, f'Invalid value for variable "{variable.name}": {problem}') from None
    variable.given = True
    variable.given_at = node


def _set_text(variable: _Variable, text: str, where: str, outside: Scope) -> None:
    """A value from outside: text for strings, numbers and untyped variables, an expression for others."""
    literal = variable.type is None or variable.type.literal
    source = open_source(where, text)
    if literal:
        _set(variable, text, Node(source=source, start=0, end=len(text)))
        return
    node = parse_whole_expression(source)
    _set(variable, evaluate(node, outside), node)


def _set_file(declared: dict[str, _Variable], file_name: str, text: str, *, strict: bool, outside: Scope) -> None:
    body = parse_body(open_source(file_name, text))
    for block in body.blocks:
        raise block.source.error(
            block.start,
            f'A variable file assigns values; block "{block.type}" cannot stand here',
            next_step="Declare variables in the job file and write name = value here.",
        )
    for name, attribute in body.attributes.items():
        if name in declared:
            _set(declared[name], evaluate(attribute.value, outside), attribute.value)
        elif strict:
            raise attribute.source.error(
                attribute.start,
                f'Undefined variable: "{name}" is set but the job file does not declare it'
                f"{did_you_mean(name, declared)}",
            )


def _final(variable: _Variable, outside: Scope) -> Value:
    if not variable.given:
        raise variable.node.source.error(
            variable.node.start,
            f'Unset variable "{variable.name}": it has no default and no value was given',
            next_step=f"Give it with -var {variable.name}=…, in a -var-file or as NOMAD_VAR_{variable.name}.",
        )
    scope = outside.with_names({"var": {variable.name: variable.value}})
    for validation in variable.validations:
        result = evaluate(validation.condition, scope)
        node = validation.condition
        try:
            holds = to_bool(result)
        except ValueProblem as problem:
            raise node.source.error(node.start, f"Invalid variable validation: {problem}") from None
        if not holds:
            at = variable.given_at or variable.node
            raise at.source.error(at.start, f'Invalid value for variable "{variable.name}": {validation.message}')
    return variable.value


def locals_of(body: Body, scope: Scope) -> dict[str, Value]:
    """The values of all locals, which may refer to each other in any order; `scope` has the variables.

    Raises JobFileError for a local that is defined twice or depends on itself.
    """
    definitions: dict[str, Attribute] = {}
    for block in body.blocks:
        if block.type != "locals":
            continue
        for attribute in block.body.attributes.values():
            if attribute.name in definitions:
                raise attribute.source.error(attribute.start, f'Duplicate local: "{attribute.name}" is defined twice')
            definitions[attribute.name] = attribute
    values: dict[str, Value] = {}
    for name in _ordered(definitions):
        attribute = definitions[name]
        values[name] = evaluate(attribute.value, scope.with_names({"local": values}))
        try:
            scope.budget.steps -= weigh(values[name], _MAX_PARTS) // 4
        except ValueProblem as problem:
            raise attribute.source.error(attribute.start, f"Invalid value: {problem}") from None
    return values


def _ordered(definitions: Mapping[str, Attribute]) -> list[str]:
    """Names, those that others need first (Kahn's algorithm: no recursion)."""
    needs = {name: _needs(attribute.value, definitions) for name, attribute in definitions.items()}
    needed_by: dict[str, list[str]] = {name: [] for name in definitions}
    for name, others in needs.items():
        for other in others:
            needed_by[other].append(name)
    waiting = {name: len(others) for name, others in needs.items()}
    ready = [name for name, count in waiting.items() if count == 0]
    for name in ready:
        for other in needed_by[name]:
            waiting[other] -= 1
            if waiting[other] == 0:
                ready.append(other)
    if len(ready) < len(definitions):
        name = next(name for name in definitions if name not in set(ready))
        attribute = definitions[name]
        raise attribute.source.error(attribute.start, f'Local "{name}" depends on itself')
    return ready


def _needs(node: Expression, definitions: Mapping[str, Attribute]) -> set[str]:
    names = {getattr(ref.steps[0], "name", "") for ref in references_of(node) if ref.root == "local" and ref.steps}
    whole = any(ref.root == "local" and not ref.steps for ref in references_of(node))
    return set(definitions) if whole else names & set(definitions)
