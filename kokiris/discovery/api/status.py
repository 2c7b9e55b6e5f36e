"""/v1/status/…"""

from __future__ import annotations

from typing import Any

from kokiris.discovery.api.call import Call


async def leader(call: Call) -> Any:
    """GET /v1/status/leader"""
    return call.context.facts.leader


async def peers(call: Call) -> Any:
    """GET /v1/status/peers"""
    return list(call.context.facts.peers)
