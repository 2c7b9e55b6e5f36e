"""Functions that look at their arguments before they have values: try, can, convert."""

from __future__ import annotations

from collections.abc import Callable

from kokiris.kernel.errors import JobFileError
from kokiris.orchestrator.jobspec.syntax import Expression
from kokiris.orchestrator.jobspec.types import convert_value, parse_type
from kokiris.orchestrator.jobspec.values import Value, ValueProblem

Evaluate = Callable[[Expression], Value]


def attempt(evaluate: Evaluate, arguments: tuple[Expression, ...]) -> Value:
    """try(a, b, c): the first that can be evaluated."""
    if not arguments:
        raise ValueProblem("try() needs an argument")
    problems: list[str] = []
    for argument in arguments:
        try:
            return evaluate(argument)
        except JobFileError as error:
            problems.append(error.message)
    raise ValueProblem(f"no argument of try() can be evaluated: {problems[-1]}")


def can(evaluate: Evaluate, arguments: tuple[Expression, ...]) -> Value:
    """can(a): whether it can be evaluated."""
    if len(arguments) != 1:
        raise ValueProblem("can() needs one argument")
    try:
        evaluate(arguments[0])
    except JobFileError:
        return False
    return True


def convert(evaluate: Evaluate, arguments: tuple[Expression, ...]) -> Value:
    """convert(value, type)."""
    if len(arguments) != 2:
        raise ValueProblem("convert() needs a value and a type")
    return convert_value(evaluate(arguments[0]), parse_type(arguments[1]))


LAZY = {"can": can, "convert": convert, "try": attempt}
