"""The comparing of values, objects and sets of objects, whatever they are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from kokiris.orchestrator.diff.model import ADDED, DELETED, EDITED, NONE, Changed, FieldDiff, ObjectDiff

Flat = dict[str, str]
T = TypeVar("T")

_ORDER = {EDITED: 0, ADDED: 1, DELETED: 2, NONE: 3}


def flat_struct(thing: msgspec.Struct | None, skip: Collection[str] = ()) -> Flat:
    """Name → text of a struct's own values; maps of texts as "Meta[key]"; structs and lists inside are left out."""
    flat: Flat = {}
    if thing is None:
        return flat
    for name in thing.__struct_fields__:
        value = getattr(thing, name)
        if name in skip or value is None or isinstance(value, (list, bytes, msgspec.Struct)):
            continue
        if isinstance(value, dict):
            flat.update({f"{name}[{key}]": text_of(item) for key, item in value.items() if _is_plain(item)})
        else:
            flat[name] = text_of(value)
    return flat


def flat_any(value: Any, prefix: str = "") -> Flat:
    """Path → text of everything inside a free-form value: "args[0]", "mounts[0][target]"."""
    if isinstance(value, Mapping):
        flat: Flat = {}
        for key, item in value.items():
            flat.update(flat_any(item, f"{prefix}[{key}]" if prefix else str(key)))
        return flat
    if isinstance(value, list):
        flat = {}
        for i, item in enumerate(value):
            flat.update(flat_any(item, f"{prefix}[{i}]"))
        return flat
    return {prefix: text_of(value)} if prefix else {}


def text_of(value: Any) -> str:
    """As Go prints it: true, 10, nil."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def field_diffs(old: Flat, new: Flat, contextual: bool) -> list[FieldDiff]:
    """Sorted by name; `contextual` keeps what did not change."""
    names = sorted({*old, *new})
    diffs = [_field(name, old.get(name, ""), new.get(name, "")) for name in names]
    return [diff for diff in diffs if contextual or diff.Type != NONE]


def _field(name: str, old: str, new: str) -> FieldDiff:
    if old == new:
        return FieldDiff(Type=NONE, Name=name, Old=old, New=new)
    if not old:
        return FieldDiff(Type=ADDED, Name=name, New=new)
    if not new:
        return FieldDiff(Type=DELETED, Name=name, Old=old)
    return FieldDiff(Type=EDITED, Name=name, Old=old, New=new)


def object_diff(
    name: str, old: Flat | None, new: Flat | None, contextual: bool, objects: Iterable[ObjectDiff | None] = ()
) -> ObjectDiff | None:
    """The diff of one object from its values and the diffs of what it holds; None when nothing in it changed.
    A missing object (None) makes it Added or Deleted."""
    inside = [found for found in objects if found is not None]
    fields = field_diffs(old or {}, new or {}, contextual)
    changed: list[Changed] = [*fields, *inside]
    if old is None and new is None:
        return None
    if all(part.Type == NONE for part in changed):
        return None
    kind = ADDED if old is None else DELETED if new is None else EDITED
    return ObjectDiff(Type=kind, Name=name, Fields=fields or None, Objects=inside or None)


def values_diff(name: str, old: Flat, new: Flat, contextual: bool) -> ObjectDiff | None:
    """As `object_diff` for an object that is nothing but values: only additions make it Added, and so on."""
    fields = field_diffs(old, new, contextual)
    kinds = {field.Type for field in fields} - {NONE}
    if not kinds:
        return None
    return ObjectDiff(Type=kinds.pop() if len(kinds) == 1 else EDITED, Name=name, Fields=fields)


def strings_diff(
    name: str, old: Sequence[str] | None, new: Sequence[str] | None, contextual: bool
) -> ObjectDiff | None:
    """Two sets of texts: one field per text, all called `name`."""
    before, after = set(old or ()), set(new or ())
    if before == after and (not contextual or not before):
        return None
    fields = [FieldDiff(Type=DELETED, Name=name, Old=text) for text in before - after]
    fields += [FieldDiff(Type=ADDED, Name=name, New=text) for text in after - before]
    if contextual:
        fields += [FieldDiff(Type=NONE, Name=name, Old=text, New=text) for text in before & after]
    fields.sort(key=lambda field: (field.Old, field.New))
    removed, added = before - after, after - before
    kind = EDITED if removed and added else DELETED if removed else ADDED if added else NONE
    return ObjectDiff(Type=kind, Name=name, Fields=fields)


def set_diffs(
    old: Sequence[T] | None,
    new: Sequence[T] | None,
    key: Callable[[T], Hashable],
    compare: Callable[[T | None, T | None], ObjectDiff | None],
) -> list[ObjectDiff]:
    """Objects matched by `key`, compared, those that differ sorted by name and kind of change."""
    before = {key(one): one for one in old or ()}
    after = {key(one): one for one in new or ()}
    found = [compare(before.get(mark), after.get(mark)) for mark in {**before, **after}]
    return sorted_objects(diff for diff in found if diff is not None)


def sorted_objects(objects: Iterable[ObjectDiff]) -> list[ObjectDiff]:
    """By name, then Edited, Added, Deleted, then by their values."""
    return sorted(objects, key=lambda one: (one.Name, _ORDER[one.Type], len(one.Fields or ()), _values(one)))


def _values(diff: ObjectDiff) -> tuple[tuple[str, str, str], ...]:
    return tuple((field.Name, field.Old, field.New) for field in diff.Fields or ())


def content(thing: msgspec.Struct) -> bytes:
    """A key for objects that have no name: all they hold."""
    return msgspec.json.encode(thing, order="deterministic")
