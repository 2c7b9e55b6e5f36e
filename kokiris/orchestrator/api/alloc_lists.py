"""Allocations in lists: encoded once each, then joined. A list of a thousand costs a fraction of a millisecond."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kokiris.orchestrator.api.cache import LIMIT
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.allocwire import Allocation
from kokiris.orchestrator.shapes import alloc_stub, wire_alloc

_ENCODE = msgspec.json.Encoder().encode


def stubs(call: Call, allocs: Iterable[Alloc], *, resources: bool = False, task_states: bool = True) -> bytes:
    """A JSON list of `AllocationListStub`."""
    versions, nodes = call.state.versions, call.state.nodes
    kept = call.context.encodings.shelf(("stub", resources, task_states))
    encoded: list[bytes] = []
    for alloc in allocs:
        segment, desired = alloc.Segment, alloc.Desired
        moved = desired is not None and desired.JobVersion is not None
        version = alloc.JobVersion if moved else segment.JobVersion
        of_job = versions.get((segment.Namespace, segment.JobID))
        job = of_job.get(version) if of_job is not None else None
        node = nodes.get(alloc.NodeID)
        found = kept.get(alloc.ID)
        if found is None or found[0] is not alloc or found[1] is not job or found[2] is not node:
            if len(kept) >= LIMIT:
                kept.clear()
            stub = alloc_stub(alloc, job, node, resources=resources, task_states=task_states)
            found = kept[alloc.ID] = (alloc, job, node, _ENCODE(stub))
        encoded.append(found[3])
    return b"[" + b",".join(encoded) + b"]"


def full(call: Call, alloc: Alloc) -> Allocation:
    """The whole allocation, with its job."""
    return wire_alloc(alloc, call.state.job_of(alloc), call.state.nodes.get(alloc.NodeID))
