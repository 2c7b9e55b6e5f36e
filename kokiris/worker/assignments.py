"""What the servers want of this node compared with what it does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kokiris.worker.client import Assignment


@dataclass(frozen=True, slots=True)
class Difference:
    """`fetch`: new ones, and those that changed. `gone`: the servers do not know them any more."""

    fetch: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def compare(known: Mapping[str, int], wanted: Sequence[Assignment]) -> Difference:
    """`known`: allocation id → the AllocModifyIndex this node acted on."""
    there = {one.AllocID for one in wanted}
    return Difference(
        fetch=tuple(one.AllocID for one in wanted if known.get(one.AllocID) != one.AllocModifyIndex),
        gone=tuple(one for one in known if one not in there),
    )
