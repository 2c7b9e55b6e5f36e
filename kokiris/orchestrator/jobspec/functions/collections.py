"""Functions of lists, sets and maps."""

from __future__ import annotations

import itertools
from decimal import Decimal

from kokiris.orchestrator.jobspec.lookup import get_index
from kokiris.orchestrator.jobspec.values import (
    MAX_ITEMS,
    SetOf,
    Value,
    ValueProblem,
    identity,
    set_of,
    to_integer,
    to_items,
    to_map,
    to_number,
    to_string,
    type_name,
    weigh,
)

_MAX_RANGE = 1024


def chunklist(items: Value, size: Value) -> Value:
    """Lists of at most `size` items (0: all in one)."""
    listed, count = to_items(items), to_integer(size)
    if count < 0:
        raise ValueProblem("the size of the chunks cannot be negative")
    step = count or max(1, len(listed))
    return tuple(tuple(listed[i : i + step]) for i in range(0, len(listed), step))


def coalesce(first: Value, *more: Value) -> Value:
    """The first argument that is not null."""
    for value in (first, *more):
        if value is not None:
            return value
    raise ValueProblem("all arguments are null")


def coalescelist(first: Value, *more: Value) -> Value:
    """The first list that is not empty."""
    for value in (first, *more):
        if value is not None and to_items(value):
            return value
    raise ValueProblem("all lists are empty")


def compact(items: Value) -> Value:
    """Without null and empty strings."""
    return tuple(to_string(item) for item in to_items(items) if item is not None and to_string(item))


def concat(*lists: Value) -> Value:
    """One list of all items."""
    return tuple(itertools.chain.from_iterable(to_items(items) for items in lists))


def contains(items: Value, wanted: Value) -> Value:
    """Whether an item equals `wanted`."""
    mark = identity(wanted)
    return any(identity(item) == mark for item in to_items(items))


def distinct(items: Value) -> Value:
    """Each item once, in the order of first appearance."""
    return tuple({identity(item): item for item in reversed(to_items(items))}[mark] for mark in _marks(items))


def _marks(items: Value) -> list[object]:
    return list(dict.fromkeys(identity(item) for item in to_items(items)))


def element(items: Value, index: Value) -> Value:
    """The item at `index`, going round."""
    listed = to_items(items)
    if not listed:
        raise ValueProblem("the list is empty")
    return listed[to_integer(index) % len(listed)]


def flatten(items: Value) -> Value:
    """Lists in lists opened, all the way."""
    weigh(items, MAX_ITEMS)
    flat: list[Value] = []
    pending = list(reversed(to_items(items)))
    while pending:
        item = pending.pop()
        if isinstance(item, tuple):
            pending.extend(reversed(item))
        else:
            flat.append(item)
    return tuple(flat)


def keys(mapping: Value) -> Value:
    """The keys, sorted."""
    return tuple(sorted(to_map(mapping)))


def values(mapping: Value) -> Value:
    """The values, in the order of the keys."""
    found = to_map(mapping)
    return tuple(found[key] for key in sorted(found))


def length(collection: Value) -> Value:
    """Number of items; strlen counts characters."""
    if isinstance(collection, (tuple, dict)):
        return Decimal(len(collection))
    raise ValueProblem(f"a list, set or map is needed, found {type_name(collection)}")


def lookup(mapping: Value, key: Value, *default: Value) -> Value:
    """The value of `key`, or the default."""
    if len(default) > 1:
        raise ValueProblem(f"2 or 3 arguments are needed, found {2 + len(default)}")
    found, name = to_map(mapping), to_string(key)
    if name in found:
        return found[name]
    if not default:
        raise ValueProblem(f'there is no key "{name}"')
    return default[0]


def merge(*mappings: Value) -> Value:
    """One map; later ones win, null is nothing."""
    merged: dict[str, Value] = {}
    for mapping in mappings:
        if mapping is not None:
            merged.update(to_map(mapping))
    return merged


def number_range(first: Value, *more: Value) -> Value:
    """range(limit), range(start, limit), range(start, limit, step)."""
    numbers = [to_number(value) for value in (first, *more)]
    if len(numbers) > 3:
        raise ValueProblem(f"1 to 3 arguments are needed, found {len(numbers)}")
    start, limit = (Decimal(0), numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    step = numbers[2] if len(numbers) == 3 else Decimal(1 if limit >= start else -1)
    if step == 0:
        raise ValueProblem("the step cannot be zero")
    if (limit - start) / step > _MAX_RANGE:
        raise ValueProblem(f"more than {_MAX_RANGE} numbers")
    found: list[Value] = []
    while (start < limit) if step > 0 else (start > limit):
        found.append(start)
        start += step
    return tuple(found)


def setintersection(first: Value, *more: Value) -> Value:
    """Items that all have."""
    marks = [{identity(item) for item in to_items(items)} for items in more]
    return set_of(tuple(item for item in to_items(first) if all(identity(item) in mark for mark in marks)))


def setunion(first: Value, *more: Value) -> Value:
    """Items that any has."""
    return set_of(concat(first, *more))


def setproduct(first: Value, second: Value, *more: Value) -> Value:
    """All combinations."""
    lists = [to_items(items) for items in (first, second, *more)]
    count = 1
    for items in lists:
        count *= len(items)
    if count > MAX_ITEMS:
        raise ValueProblem(f"more than {MAX_ITEMS} combinations")
    combined = tuple(itertools.product(*lists))
    return set_of(combined) if all(isinstance(items, SetOf) for items in (first, second, *more)) else combined


def cut(items: Value, start: Value, end: Value) -> Value:
    """slice(list, start, end): the items from start up to, without, end."""
    listed, first, last = to_items(items), to_integer(start), to_integer(end)
    if not 0 <= first <= last <= len(listed):
        raise ValueProblem(f"start {first} and end {last} do not fit a list of {len(listed)}")
    return tuple(listed[first:last])


def sort(items: Value) -> Value:
    """Strings in the order of their characters."""
    return tuple(sorted(to_string(item) for item in to_items(items)))


def zipmap(names: Value, items: Value) -> Value:
    """A map of two lists."""
    labels, listed = to_items(names), to_items(items)
    if len(labels) != len(listed):
        raise ValueProblem(f"{len(labels)} keys and {len(listed)} values")
    return {to_string(label): item for label, item in zip(labels, listed, strict=True)}


FUNCTIONS = {
    "chunklist": chunklist,
    "coalesce": coalesce,
    "coalescelist": coalescelist,
    "compact": compact,
    "concat": concat,
    "contains": contains,
    "distinct": distinct,
    "element": element,
    "flatten": flatten,
    "index": get_index,
    "keys": keys,
    "length": length,
    "lookup": lookup,
    "merge": merge,
    "range": number_range,
    "setintersection": setintersection,
    "setproduct": setproduct,
    "setunion": setunion,
    "slice": cut,
    "sort": sort,
    "values": values,
    "zipmap": zipmap,
}
