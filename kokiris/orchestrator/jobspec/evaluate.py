"""Evaluates expressions: HCL2, plus Nomad's rule that a name nobody defines stands for its own text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from kokiris.orchestrator.jobspec.lookup import get_attribute, get_index
from kokiris.orchestrator.jobspec.suggest import did_you_mean
from kokiris.orchestrator.jobspec.syntax import (
    Access,
    Attr,
    Call,
    Conditional,
    Expression,
    For,
    Index,
    Literal,
    Node,
    Object,
    Operation,
    Reference,
    Splat,
    Step,
    Template,
    TemplateFor,
    TemplateIf,
    Tuple,
    Unary,
)
from kokiris.orchestrator.jobspec.values import (
    MAX_STRING,
    Value,
    ValueProblem,
    arithmetic,
    bounded,
    equal,
    pairs_of,
    to_bool,
    to_number,
    to_string,
    type_name,
    weigh,
)

MAX_STEPS = 500_000
"""Expressions evaluated for one job file; a file that needs more is refused rather than left running."""

_MAX_PARTS = 200_000

Function = Callable[..., Value]
LazyFunction = Callable[[Callable[[Expression], Value], tuple[Expression, ...]], Value]


@dataclass(slots=True)
class Budget:
    """Work left to one evaluation of a file; shared by all its scopes."""

    steps: int = MAX_STEPS


@dataclass(frozen=True, slots=True)
class Scope:
    """The names an expression may use."""

    names: Mapping[str, Value]
    functions: Mapping[str, Function] = field(default_factory=dict)
    lazy: Mapping[str, LazyFunction] = field(default_factory=dict)
    """Functions that look at their arguments' expressions: try, can, convert."""
    budget: Budget = field(default_factory=Budget)
    keep_unknown: bool = True
    """Whether an unknown name stands for its own text (job bodies) or is an error (variables' values)."""

    def with_names(self, names: Mapping[str, Value]) -> Scope:
        """A scope inside this one."""
        return replace(self, names={**self.names, **names})


def evaluate(node: Expression, scope: Scope) -> Value:
    """The value of `node`. Raises JobFileError at the innermost place that has none."""
    scope.budget.steps -= 1
    if scope.budget.steps < 0:
        raise node.source.error(node.start, "The file needs too much work to evaluate: shorten its loops")
    try:
        return _RULES[type(node)](node, scope)
    except ValueProblem as problem:
        raise node.source.error(node.start, f"Invalid value: {problem}") from problem


def fail(node: Node, problem: ValueProblem) -> NoReturn:
    """Raises `problem` as a JobFileError at `node`."""
    raise node.source.error(node.start, f"Invalid value: {problem}") from problem


def _literal(node: Literal, _scope: Scope) -> Value:
    return node.value


def _template(node: Template, scope: Scope) -> Value:
    if node.wraps:
        return evaluate(node.parts[0], scope)
    texts: list[str] = []
    size = 0
    for part in node.parts:
        value = evaluate(part, scope)
        try:
            texts.append(to_string(value))
        except ValueProblem:
            raise part.source.error(
                part.start, f"Invalid template: a {type_name(value)} cannot be put into a string"
            ) from None
        size += len(texts[-1])
        _check_size(size)
    return "".join(texts)


def _check_size(size: int) -> None:
    if size > MAX_STRING:
        raise ValueProblem(f"the string has more than {MAX_STRING} characters")


def _template_if(node: TemplateIf, scope: Scope) -> Value:
    return evaluate(node.then if _condition(node.condition, scope) else node.otherwise, scope)


def _template_for(node: TemplateFor, scope: Scope) -> Value:
    texts: list[str] = []
    size = 0
    for key, value in pairs_of(evaluate(node.collection, scope)):
        names = {node.value: value, **({node.key: key} if node.key else {})}
        texts.append(to_string(evaluate(node.body, scope.with_names(names))))
        size += len(texts[-1])
        _check_size(size)
    return "".join(texts)


def _condition(node: Expression, scope: Scope) -> bool:
    value = evaluate(node, scope)
    try:
        return to_bool(value)
    except ValueProblem as problem:
        raise node.source.error(node.start, f"Invalid condition: {problem}") from None


def _reference(node: Reference, scope: Scope) -> Value:
    if node.root not in scope.names:
        return _unknown(node, scope)
    value = scope.names[node.root]
    for step in node.steps:
        value = _step(node, value, step, scope)
    return value


def _unknown(node: Reference, scope: Scope) -> str:
    """The text of the reference, in `${…}` as it was written, or wrapped in it."""
    text = node.source.text[node.start : node.end]
    if not scope.keep_unknown:
        raise node.source.error(node.start, f"Unknown name {text}: a value given from outside cannot refer to anything")
    return node.interpolation or f"${{{text}}}"


def _access(node: Access, scope: Scope) -> Value:
    value = evaluate(node.base, scope)
    return _steps(node, value, node.steps, scope)


def _steps(node: Access, value: Value, steps: tuple[Step, ...], scope: Scope) -> Value:
    for i, step in enumerate(steps):
        if not isinstance(step, Splat):
            value = _step(node, value, step, scope)
            continue
        count = len(steps) if step.full else _attributes_end(steps, i + 1)
        each = steps[i + 1 : count]
        items = value if isinstance(value, tuple) else () if value is None else (value,)
        scope.budget.steps -= len(items)
        mapped = tuple(_steps(node, item, each, scope) for item in items)
        return _steps(node, mapped, steps[count:], scope)
    return value


def _attributes_end(steps: tuple[Step, ...], start: int) -> int:
    """Past the attributes that a `.*` carries along."""
    end = start
    while end < len(steps) and isinstance(steps[end], Attr):
        end += 1
    return end


def _step(node: Node, value: Value, step: Attr | Index, scope: Scope) -> Value:
    key = step.name if isinstance(step, Attr) else evaluate(step.key, scope)
    try:
        return get_attribute(value, key) if isinstance(step, Attr) else get_index(value, key)
    except ValueProblem as problem:
        raise node.source.error(step.start, str(problem)) from None


def _call(node: Call, scope: Scope) -> Value:
    if node.name in scope.lazy:
        return scope.lazy[node.name](lambda argument: evaluate(argument, scope), node.arguments)
    function = scope.functions.get(node.name)
    if function is None:
        known = [*scope.functions, *scope.lazy]
        raise node.source.error(node.start, f'There is no function "{node.name}"{did_you_mean(node.name, known)}')
    arguments = [evaluate(argument, scope) for argument in node.arguments]
    if node.expand:
        arguments += pairs_values(arguments.pop())
    _charge(scope, arguments)
    try:
        return bounded(function(*arguments))
    except ValueProblem as problem:
        raise node.source.error(node.start, f"Error in {node.name}(): {problem}") from None


def _charge(scope: Scope, values: Sequence[Value]) -> None:
    """Takes what a function may do with large values off the budget."""
    for value in values:
        if isinstance(value, (tuple, dict)):
            scope.budget.steps -= weigh(value, _MAX_PARTS) // 4
        elif isinstance(value, str):
            scope.budget.steps -= len(value) // 1024


def pairs_values(value: Value) -> list[Value]:
    """The items of a list or set that is expanded into arguments."""
    if not isinstance(value, tuple):
        raise ValueProblem(f"only a list can be expanded with ..., found {type_name(value)}")
    return list(value)


def _unary(node: Unary, scope: Scope) -> Value:
    value = evaluate(node.operand, scope)
    if node.operator == "!":
        return not to_bool(value)
    return -to_number(value)


def _operation(node: Operation, scope: Scope) -> Value:
    value = evaluate(node.first, scope)
    for operator, operand in node.rest:
        if operator in _STOPS and value is _STOPS[operator]:
            continue
        right = evaluate(operand, scope)
        _charge(scope, (value, right))
        try:
            value = _apply(operator, value, right)
        except ValueProblem as problem:
            raise operand.source.error(operand.start, f'Invalid operand of "{operator}": {problem}') from None
    return value


_STOPS = {"&&": False, "||": True}
"""The left value that decides without looking at the right one."""


def _apply(operator: str, left: Value, right: Value) -> Value:
    if operator == "==":
        return equal(left, right)
    if operator == "!=":
        return not equal(left, right)
    if operator == "&&":
        return all([to_bool(left), to_bool(right)])
    if operator == "||":
        return any([to_bool(left), to_bool(right)])
    first, second = to_number(left), to_number(right)
    if operator in {"<", ">", "<=", ">="}:
        return {"<": first < second, ">": first > second, "<=": first <= second, ">=": first >= second}[operator]
    return arithmetic(operator, first, second)


def _conditional(node: Conditional, scope: Scope) -> Value:
    return evaluate(node.then if _condition(node.condition, scope) else node.otherwise, scope)


def _tuple(node: Tuple, scope: Scope) -> Value:
    return bounded(tuple([evaluate(item, scope) for item in node.items]))


def _object(node: Object, scope: Scope) -> Value:
    result: dict[str, Value] = {}
    for key, item in node.items:
        result[_key(key, scope)] = evaluate(item, scope)
    return bounded(result)


def _key(node: Expression, scope: Scope) -> str:
    value = evaluate(node, scope)
    try:
        return to_string(value)
    except ValueProblem:
        raise node.source.error(node.start, f"Invalid key: a {type_name(value)} cannot be a key") from None


def _for(node: For, scope: Scope) -> Value:
    items: list[Value] = []
    mapped: dict[str, Value] = {}
    for key, value in pairs_of(evaluate(node.collection, scope)):
        inner = scope.with_names({node.value: value, **({node.key: key} if node.key else {})})
        if node.condition is not None and not _condition(node.condition, inner):
            continue
        if node.result_key is None:
            items.append(evaluate(node.result, inner))
            continue
        result_key = _key(node.result_key, inner)
        result = evaluate(node.result, inner)
        if node.grouped:
            mapped[result_key] = (*mapped.get(result_key, ()), result)
        elif result_key in mapped:
            raise node.source.error(
                node.start, f'The for expression makes the key "{result_key}" twice (write ... to group)'
            )
        else:
            mapped[result_key] = result
    return bounded(tuple(items) if node.result_key is None else mapped)


_RULES: dict[type[Any], Callable[[Any, Scope], Value]] = {
    Template: _template,
    TemplateIf: _template_if,
    TemplateFor: _template_for,
    Access: _access,
    Reference: _reference,
    Call: _call,
    Unary: _unary,
    Operation: _operation,
    Conditional: _conditional,
    Tuple: _tuple,
    Object: _object,
    For: _for,
    Literal: _literal,
}
