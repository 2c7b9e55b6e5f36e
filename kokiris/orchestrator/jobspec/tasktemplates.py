"""What the templates of a task call, found before the task runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kokiris.kernel.templates.functions import LOOKUPS, PURE, UNAVAILABLE
from kokiris.kernel.templates.syntax import parse
from kokiris.kernel.templates.tree import Block, Function, Group, Node, Output, Pipeline, Position, TemplateError
from kokiris.orchestrator.model.task import Template

KNOWN = {*PURE, *LOOKUPS, "and", "or"}


def refused_calls(template: Template) -> Iterator[str]:
    """A sentence for each thing in an embedded template that this version does not render, with its place in it.

    A template read from a file of the task is not known yet: it is judged when it is rendered.
    """
    if not template.EmbeddedTmpl:
        return
    try:
        nodes = parse("", template.EmbeddedTmpl, template.LeftDelim or "{{", template.RightDelim or "}}")
    except TemplateError as error:
        yield error.message.removeprefix('template "": ')
        return
    for at, name in sorted(set(_calls(nodes)), key=lambda call: (call[0].line, call[0].column, call[1])):
        if name in UNAVAILABLE:
            yield f'{at}: function "{name}": {UNAVAILABLE[name]}'
        elif name not in KNOWN:
            yield f'{at}: function "{name}" is not acted on by this version'


def _calls(nodes: Sequence[Node]) -> Iterator[tuple[Position, str]]:
    for node in nodes:
        if isinstance(node, Output | Block):
            yield from _of_pipeline(node.pipeline)
        if isinstance(node, Block):
            yield from _calls(node.body)
            yield from _calls(node.other)


def _of_pipeline(pipeline: Pipeline) -> Iterator[tuple[Position, str]]:
    for command in pipeline.commands:
        for operand in command:
            if isinstance(operand, Function):
                yield pipeline.at, operand.name
            elif isinstance(operand, Group):
                yield from _of_pipeline(operand.pipeline)
