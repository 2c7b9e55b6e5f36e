"""Allocations in lists: encoded once each, then joined. A list of a thousand costs a fraction of a millisecond."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.allocwire import Allocation
from kokiris.orchestrator.shapes import alloc_stub, wire_alloc

_ENCODE = msgspec.json.Encoder().encode


def stubs(call: Call, allocs: Iterable[Alloc], *, resources: bool = False, task_states: bool = True) -> bytes:
    """A JSON list of `AllocationListStub`."""
    state, kept = call.state, call.context.encodings
    kind = ("stub", resources, task_states)

    def encoded(alloc: Alloc) -> bytes:
        job, node = state.job_of(alloc), state.nodes.get(alloc.NodeID)
        body: bytes = kept.get(
            (kind, alloc.ID),
            (alloc, job, node),
            lambda: _ENCODE(alloc_stub(alloc, job, node, resources=resources, task_states=task_states)),
        )
        return body

    return b"[" + b",".join([encoded(alloc) for alloc in allocs]) + b"]"


def full(call: Call, alloc: Alloc) -> Allocation:
    """The whole allocation, with its job."""
    return wire_alloc(alloc, call.state.job_of(alloc), call.state.nodes.get(alloc.NodeID))
