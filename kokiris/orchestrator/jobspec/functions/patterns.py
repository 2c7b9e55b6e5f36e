"""Regular expressions from outside, kept from taking exponential time.

Go's engine is linear, Python's backtracks. So what makes it explode (repeats in repeats, alternatives in repeats,
back-references, look-around) is refused, and texts are bounded by how many repeats the pattern has.
"""

from __future__ import annotations

import re
from re import _constants as constants  # type: ignore[attr-defined]  # no types for this module
from re import _parser as parser  # type: ignore[attr-defined]  # as above
from typing import Any

from kokiris.orchestrator.jobspec.values import MAX_STRING, ValueProblem, shorten

_LONGEST = {0: MAX_STRING, 1: 20_000, 2: 5_000, 3: 1_000, 4: 200, 5: 100, 6: 60}
"""Characters of text, by the number of open-ended repeats in the pattern."""
_LONGEST_OTHERWISE = 40
_MAX_PATTERN = 2_000


def compile_pattern(pattern: str, text_length: int) -> re.Pattern[str]:
    """The compiled pattern. Raises ValueProblem for what is no pattern, or could run for ever."""
    if len(pattern) > _MAX_PATTERN:
        raise ValueProblem(f"the regular expression is longer than {_MAX_PATTERN} characters")
    python = pattern.replace("\\z", "\\Z").replace("(?<", "(?P<") if "(?<=" not in pattern else pattern
    try:
        compiled = re.compile(python)
        repeats = _repeats(parser.parse(python).data, inside=False)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueProblem(f'"{shorten(pattern)}" is not a regular expression: {error}') from None
    longest = _LONGEST.get(repeats, _LONGEST_OTHERWISE)
    if text_length > longest:
        raise ValueProblem(f"a pattern with {repeats} repeats is only applied to texts of up to {longest} characters")
    return compiled


def _repeats(tree: Any, *, inside: bool) -> int:
    """Number of open-ended repeats. Raises ValueProblem for the dangerous ones."""
    count = 0
    for operation, argument in tree:
        if operation in {constants.ASSERT, constants.ASSERT_NOT, constants.GROUPREF, constants.GROUPREF_EXISTS}:
            raise ValueProblem("look-around and back-references are not part of the language's regular expressions")
        if operation in {constants.MAX_REPEAT, constants.MIN_REPEAT}:
            least, most, body = argument
            if least == most == 1:
                count += _repeats(body, inside=inside)
                continue
            if inside:
                raise ValueProblem("a repeat inside a repeat can take for ever: write the pattern without it")
            count += (most != least) + _repeats(body, inside=True)
        elif operation is constants.SUBPATTERN:
            count += _repeats(argument[-1], inside=inside)
        elif operation is constants.BRANCH:
            if inside:
                raise ValueProblem("alternatives inside a repeat can take for ever: use a character class")
            count += sum(_repeats(branch, inside=inside) for branch in argument[1])
    return count


_GROUP = re.compile(r"\$\$|\$(\w+)|\$\{(\w+)\}")


def go_replacement(match: re.Match[str], replacement: str) -> str:
    """`replacement` with $1, ${1} and ${name} filled in; an unknown group is empty, $$ is a dollar."""

    def fill(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name is None:
            return "$"
        try:
            return match[int(name) if name.isdigit() else name] or ""
        except (IndexError, KeyError):
            return ""

    return _GROUP.sub(fill, replacement)
