"""docs/compatibility.md, made from the same data that `unsupported` uses.

`python -m kokiris.orchestrator.jobspec.compatibility > docs/compatibility.md` writes it anew; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from kokiris.kernel.templates.functions import LOOKUPS, PURE, UNAVAILABLE
from kokiris.orchestrator.jobspec.acted import ACTED, REFUSED, Refused
from kokiris.orchestrator.jobspec.dockerkeys import DOCKER_KEYS, RAW_EXEC_KEYS, Key
from kokiris.orchestrator.jobspec.functions import FUNCTIONS, LAZY
from kokiris.orchestrator.jobspec.functions.files import NAMES

_INTRODUCTION = """\
# What this version acts on

Every block and argument of Nomad's job language parses. What this version does not act on is refused at plan and run
time, each by name and place; nothing is ignored in silence. An unknown name is an error with the nearest known one.

This page is made from the tables that the refusing code uses:
`python -m kokiris.orchestrator.jobspec.compatibility > docs/compatibility.md`.
"""
_PLACES = {
    "Job": "job",
    "TaskGroup": "group",
    "NetworkResource": "group network",
    "Port": "group network port",
    "VolumeRequest": "group volume",
    "Task": "task",
    "Template": "task template",
    "VolumeMount": "task volume_mount",
    "Service": "service",
    "ServiceCheck": "service check",
}
_ANSWERS = {"yes": "yes", "no": "refused", "platform": 'namespace "platform" only'}


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, "## Acted on\n"]
    rows = [(f"`{place}`", f"`{name}`", note) for place, known in ACTED.items() for name, note in known]
    parts.append(_table(("in", "what", "how far"), rows))
    parts.append("## Refused\n")
    parts.append(_table(("in", "what", "note"), _refused_rows()))
    for driver, keys in (("docker", DOCKER_KEYS), ("raw_exec", RAW_EXEC_KEYS)):
        parts.append(f"## `config` of the driver {driver}\n")
        parts.append(_table(("key", "acted on", "note"), _key_rows(keys)))
    parts.append("## Functions of templates\n")
    known = sorted({*PURE, *LOOKUPS, "and", "or"})
    refused = "; ".join(f"`{name}`: {reason}" for name, reason in UNAVAILABLE.items())
    parts.append(f"{', '.join(f'`{name}`' for name in known)}.\n\nRefused like all others: {refused}.\n")
    parts.append("## Functions of the job language\n")
    names = sorted({*FUNCTIONS, *LAZY, *NAMES} - {"bcrypt"})
    parts.append(
        f"All of {', '.join(f'`{name}`' for name in names)}.\n\n"
        f"{', '.join(f'`{name}`' for name in NAMES)} work in the command line only: the server reads no files."
        " `bcrypt` is refused by name. `regex_replace` refuses patterns that could take for ever. `yamldecode` reads no"
        " anchors, tags and several documents.\n"
    )
    return "\n".join(parts)


def _refused_rows() -> list[tuple[str, ...]]:
    return [
        (f"`{_PLACES[kind.__name__]}`", _what(refused), refused.note)
        for kind, listed in REFUSED.items()
        for refused in listed
    ]


def _what(refused: Refused) -> str:
    kind, _, name = refused.what.rpartition(" ")
    return f"{kind} `{name}`" if kind in {"block", "argument"} else refused.what


def _key_rows(keys: Mapping[str, Key]) -> list[tuple[str, ...]]:
    order = {"yes": 0, "platform": 1, "no": 2}
    listed = sorted(keys.items(), key=lambda item: (order[item[1].acted], item[0]))
    return [(f"`{name}`", _ANSWERS[key.acted], key.note) for name, key in listed]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row).rstrip()} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
