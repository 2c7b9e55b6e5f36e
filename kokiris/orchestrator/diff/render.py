"""A plan's diff as text, in the form of `nomad job plan`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kokiris.orchestrator.diff.model import (
    ADDED,
    DELETED,
    EDITED,
    NONE,
    Changed,
    FieldDiff,
    JobDiff,
    ObjectDiff,
    TaskDiff,
    TaskGroupDiff,
)

_MARKERS = {ADDED: ("+", "32"), DELETED: ("-", "31"), EDITED: ("+/-", "93")}
_UPDATE_COLORS = {
    "create": "32",
    "destroy": "31",
    "migrate": "34",
    "in-place update": "36",
    "create/destroy update": "33",
    "canary": "93",
}
_ANNOTATION_COLORS = {
    "forces create": "32",
    "forces destroy": "31",
    "forces in-place update": "36",
    "forces create/destroy update": "33",
}


def render_diff(diff: JobDiff, verbose: bool = False, color: bool = False) -> str:
    """The diff with the markers +, - and +/-; what is wholly new or gone is expanded only when `verbose`."""
    return _Renderer(verbose, color).job(diff).rstrip("\n")


class _Renderer:
    def __init__(self, verbose: bool, color: bool) -> None:
        self._verbose = verbose
        self._color = color

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._color and code else text

    def _marker(self, kind: str) -> str:
        text, code = _MARKERS.get(kind, ("", ""))
        return self._paint(text, code) + " " if text else ""

    def job(self, diff: JobDiff) -> str:
        head = self._paint(f'Job: "{diff.ID}"', "1")
        out = f"{self._marker(diff.Type)}{head}\n"
        field_width, marker_width = _widths(diff.Fields, diff.Objects)
        marker_width = max([marker_width, *(_marker_width(group.Type) for group in diff.TaskGroups or [])])
        if diff.Type == EDITED or self._verbose:
            inside = self._parts(diff.Fields, diff.Objects, 0, field_width, marker_width)
            out += inside + ("\n" if inside else "")
        for group in diff.TaskGroups or []:
            out += self._group(group, marker_width - _marker_width(group.Type)) + "\n"
        return out

    def _group(self, diff: TaskGroupDiff, pad: int) -> str:
        head = self._paint(f'Task Group: "{diff.Name}"', "1")
        out = f"{self._marker(diff.Type)}{' ' * pad}{head}"
        if diff.Updates:
            counts = [
                self._paint(f"{diff.Updates[name]} {name}", _UPDATE_COLORS.get(name, ""))
                for name in sorted(diff.Updates)
            ]
            out += f" ({', '.join(counts)})"
        out += "\n"
        field_width, marker_width = _widths(diff.Fields, diff.Objects)
        marker_width = max([marker_width, *(_marker_width(task.Type) for task in diff.Tasks or [])])
        start = pad + 2
        if diff.Type == EDITED or self._verbose:
            inside = self._parts(diff.Fields, diff.Objects, start, field_width, marker_width)
            out += inside + ("\n" if inside else "")
        for task in diff.Tasks or []:
            out += self._task(task, start, marker_width - _marker_width(task.Type)) + "\n"
        return out

    def _task(self, diff: TaskDiff, start: int, pad: int) -> str:
        head = self._paint(f'Task: "{diff.Name}"', "1")
        out = f"{' ' * start}{self._marker(diff.Type)}{' ' * pad}{head}"
        if diff.Annotations:
            out += f" ({self._annotations(diff.Annotations)})"
        if diff.Type == NONE or (diff.Type in {ADDED, DELETED} and not self._verbose):
            return out
        widths = _widths(diff.Fields, diff.Objects)
        return out + "\n" + self._parts(diff.Fields, diff.Objects, start + 2, *widths)

    def _object(self, diff: ObjectDiff, start: int, pad: int) -> str:
        widths = _widths(diff.Fields, diff.Objects)
        inside = self._parts(diff.Fields, diff.Objects, start + pad + 2, *widths)
        end = " " * (start + _marker_width(diff.Type) + pad)
        return f"{' ' * start}{self._marker(diff.Type)}{' ' * pad}{diff.Name} {{\n{inside}\n{end}}}"

    def _field(self, diff: FieldDiff, start: int, pad: int, value_pad: int) -> str:
        out = f"{' ' * start}{self._marker(diff.Type)}{' ' * pad}{diff.Name}: {' ' * value_pad}"
        if diff.Type == EDITED:
            out += f"{_quoted(diff.Old)} => {_quoted(diff.New)}"
        else:
            out += _quoted(diff.Old if diff.Type == DELETED else diff.New)
        return out + (f" ({self._annotations(diff.Annotations)})" if diff.Annotations else "")

    def _parts(
        self,
        fields: Sequence[FieldDiff] | None,
        objects: Sequence[ObjectDiff] | None,
        start: int,
        field_width: int,
        marker_width: int,
    ) -> str:
        lines = [
            self._field(field, start, marker_width - _marker_width(field.Type), field_width - len(field.Name))
            for field in fields or ()
        ]
        lines += [self._object(one, start, marker_width - _marker_width(one.Type)) for one in objects or ()]
        return "\n".join(lines)

    def _annotations(self, annotations: Sequence[str]) -> str:
        return ", ".join(self._paint(text, _ANNOTATION_COLORS.get(text, "")) for text in annotations)


def _marker_width(kind: str) -> int:
    text, _ = _MARKERS.get(kind, ("", ""))
    return len(text) + 1 if text else 0


def _widths(fields: Sequence[FieldDiff] | None, objects: Sequence[ObjectDiff] | None) -> tuple[int, int]:
    """The longest field name and the longest marker."""
    parts: list[Changed] = [*(fields or ()), *(objects or ())]
    markers = [_marker_width(one.Type) for one in parts]
    return max((len(field.Name) for field in fields or ()), default=0), max(markers, default=0)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
