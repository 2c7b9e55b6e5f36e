"""Parts of Nomad's API that are not acted on: lists are empty, so that clients go on; the rest is refused by name."""

from __future__ import annotations

from typing import Any

from kokiris.kernel.errors import NotFound
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.errors import EnterpriseOnly, NotImplementedHere


async def empty_list(call: Call) -> list[Any]:
    """Volumes, plugins, scaling policies: none."""
    call.index = 1
    return []


async def no_scaling_policy(call: Call) -> None:
    """/v1/scaling/policy/:id."""
    del call
    raise NotFound("policy not found")


async def refuse_volumes(call: Call) -> None:
    """/v1/volume/… and /v1/plugin/…."""
    raise NotImplementedHere(
        f"{call.req.method} {call.req.path}: volumes and storage plugins are not part of this version",
        next_step="Use the allocation's own disk (ephemeral_disk).",
    )


async def enterprise(call: Call) -> None:
    """Quotas, sentinel, recommendations, licence."""
    del call
    raise EnterpriseOnly
