"""Where in a job file stands what a message names: `group "web" task "app": block "artifact" …`. Pure.

The server refuses by name, having seen only the job's JSON; whoever holds the file adds the line.
"""

from __future__ import annotations

import re

from kokiris.kernel.errors import JobFileError
from kokiris.orchestrator.jobspec.hcl import read_body
from kokiris.orchestrator.jobspec.syntax import Block, Body, Literal, Node, Template

_SENTENCE = re.compile(
    r"^(?P<lead>\s*\* (?:not supported by this version: )?)"
    r'(?P<path>job|group "[^"]*"(?: \w+ "[^"]*")*(?: config)?)(?P<thing>\W.*)$'
)
_STEP = re.compile(r'(\w+)(?: "([^"]*)")?')
_NAMED_BY = ("name", "destination", "volume")
"""Arguments that name a block without a label."""


def with_places(message: str, source: str, filename: str) -> str:
    """The message, `FILE:LINE,COLUMN: ` before each of its starred lines that names a thing of the job file.

    What is found only in part (a block that is made by `dynamic`, a default) gets the place of the block around it. A
    text that does not parse leaves the message as it is.
    """
    try:
        body = read_body(source, filename)
    except (JobFileError, RecursionError):
        return message
    job = next((block for block in body.blocks if block.type == "job"), None)
    return message if job is None else "\n".join(_line(one, job, filename) for one in message.split("\n"))


def _line(line: str, job: Block, filename: str) -> str:
    found = _SENTENCE.match(line)
    if not found:
        return line
    node = _node(job, found["path"], found["thing"])
    number, column = node.source.place(node.start)
    return f"{found['lead']}{filename}:{number},{column}: {line[found.end('lead') :]}"


def _node(job: Block, path: str, thing: str) -> Node:
    at = job
    for kind, label in _STEP.findall(path):
        if kind == "job":
            continue
        inside = _child(at, kind, label) or _in_network(at, kind, label)
        if inside is None and kind == "group":
            continue  # a task that stands in the job itself has a group of its own
        if inside is None:
            return at
        at = inside
    return _thing(at, thing)


def _in_network(at: Block, kind: str, label: str) -> Block | None:
    network = _child(at, "network", "") if kind == "port" else None
    return _child(network, kind, label) if network else None


def _child(at: Block, kind: str, label: str) -> Block | None:
    """The block of this kind and name; the only one of its kind if its name is not a label: it may hold a variable."""
    of_kind = [block for block in at.body.blocks if block.type == kind or _is_dynamic(block, kind)]
    named = [block for block in of_kind if label and label in _names(block)]
    if named:
        return named[0]
    by_label = label and any(block.labels and block.type == kind for block in of_kind)
    return of_kind[0] if len(of_kind) == 1 and not by_label else None


def _is_dynamic(block: Block, kind: str) -> bool:
    return block.type == "dynamic" and any(label.text == kind for label in block.labels)


def _names(block: Block) -> set[str]:
    names = {label.text for label in block.labels}
    for argument in _NAMED_BY:
        attribute = block.body.attributes.get(argument)
        if attribute is None:
            continue
        if isinstance(attribute.value, Literal):
            names.add(str(attribute.value.value))
        elif isinstance(attribute.value, Template):  # "${NOMAD_TASK_DIR}/x" is kept as it is written
            names.add(attribute.source.text[attribute.value.start : attribute.value.end].strip('"'))
    return names


def _thing(at: Block, thing: str) -> Node:
    """What a sentence is about, inside its block: `block "resources.network"`, `driver "java"`, `volume type "csi"`."""
    words = thing.removeprefix(": ").partition('"')[0].split()
    quoted = re.match(r': (?:block|argument) "([\w.]+)"', thing)
    names = quoted[1].split(".") if quoted else [*words[:1], *words[-1:]]
    node: Node = at
    for name in names:
        inside = _member(at.body, name)
        if inside is None:
            continue  # "volume.sticky" of a volume: the first word is the block itself
        node = inside
        if isinstance(inside, Block):
            at = inside
    return node


def _member(body: Body, name: str) -> Node | None:
    for argument in (name, f"{name}s"):  # `volumes` lists what is spoken of as volume "/etc:/x"
        if argument in body.attributes:
            return body.attributes[argument]
    return next((block for block in body.blocks if block.type == name or _is_dynamic(block, name)), None)
