"""Services compared. They have no id, so the most alike belong together."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.orchestrator.diff.fields import (
    flat_any,
    flat_struct,
    object_diff,
    set_diffs,
    sorted_objects,
    strings_diff,
)
from kokiris.orchestrator.diff.model import ObjectDiff
from kokiris.orchestrator.model.service import Service, ServiceCheck

_ALIKE = 2
"""Services that score no more than this are different ones: same name is 3, same port 2, same position 1."""


def service_diffs(old: list[Service] | None, new: list[Service] | None, contextual: bool) -> list[ObjectDiff]:
    """The services that differ."""
    before, after = old or [], new or []
    if len(before) == len(after) == 1:
        diff = _service(before[0], after[0], contextual)
        return [] if diff is None else [diff]
    pairs: list[tuple[Service | None, Service | None]] = []
    free = dict(enumerate(after))
    for i, service in enumerate(before):
        match = _most_alike(service, i, free)
        pairs.append((service, None if match is None else free.pop(match)))
    pairs += [(None, service) for service in free.values()]
    diffs = [_service(one, other, contextual) for one, other in pairs]
    return sorted_objects(diff for diff in diffs if diff is not None)


def _most_alike(service: Service, position: int, candidates: dict[int, Service]) -> int | None:
    best, highest = None, _ALIKE
    for i, candidate in candidates.items():
        score = (i == position) + 2 * (service.PortLabel == candidate.PortLabel) + 3 * (service.Name == candidate.Name)
        if score > highest:
            best, highest = i, score
    return best


def _service(old: Service | None, new: Service | None, contextual: bool) -> ObjectDiff | None:
    if old == new:
        return None
    before, after = old or Service(), new or Service()
    skip = ("Connect", "Weights")
    objects: list[ObjectDiff | None] = [
        strings_diff("CanaryTags", before.CanaryTags, after.CanaryTags, contextual),
        strings_diff("Tags", before.Tags, after.Tags, contextual),
        *set_diffs(before.Checks, after.Checks, lambda check: check.Name, lambda a, b: _check(a, b, contextual)),
        _free("ConsulConnect", before.Connect, after.Connect, contextual),
        _free("Identity", before.Identity, after.Identity, contextual),
        _free("Weights", before.Weights, after.Weights, contextual),
    ]
    flats = [None if service is None else flat_struct(service, skip) for service in (old, new)]
    return object_diff("Service", flats[0], flats[1], contextual, objects)


def _check(old: ServiceCheck | None, new: ServiceCheck | None, contextual: bool) -> ObjectDiff | None:
    if old == new:
        return None
    before, after = old or ServiceCheck(), new or ServiceCheck()
    objects = [
        strings_diff("Args", before.Args, after.Args, contextual) if before.Args != after.Args else None,
        _free("Header", before.Header, after.Header, contextual),
        _free("CheckRestart", before.CheckRestart, after.CheckRestart, contextual),
    ]
    flats = [None if check is None else flat_struct(check, ("Header",)) for check in (old, new)]
    return object_diff("Check", flats[0], flats[1], contextual, objects)


def _free(name: str, old: Any, new: Any, contextual: bool) -> ObjectDiff | None:
    flats = [flat_any(msgspec.to_builtins(thing)) if thing is not None else None for thing in (old, new)]
    return object_diff(name, flats[0], flats[1], contextual)
