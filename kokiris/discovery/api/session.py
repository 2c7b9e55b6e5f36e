"""/v1/session/…"""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.discovery import locks, registration
from kokiris.discovery.api.call import Call, Refused
from kokiris.discovery.model import CRITICAL, Session
from kokiris.discovery.sessions import end_session
from kokiris.discovery.writer import Change
from kokiris.kernel.errors import BadInput, NotFound
from kokiris.kernel.ids import new_id
from kokiris.kernel.units import SECOND_NS, parse_duration_ns

TTL_MAX_S = 24 * 3600.0
SERF_HEALTH = "serfHealth"


class SessionBody(msgspec.Struct, kw_only=True):
    """What a client sends. `LockDelay` is a duration, or a number: below 1,000 seconds, else nanoseconds."""

    Name: str = ""
    Node: str = ""
    Behavior: str = "release"
    TTL: str = ""
    LockDelay: str | int | float = "15s"
    Checks: list[str] | None = None
    NodeChecks: list[str] | None = None
    ServiceChecks: list[dict[str, str]] | None = None


def lock_delay_ns(given: str | float) -> int:
    """Raises BadInput."""
    if isinstance(given, str):
        return max(0, parse_duration_ns(given))
    return max(0, int(given * SECOND_NS) if given < 1000 else int(given))


def _check_ttl(ttl: str, shortest_s: float) -> None:
    if not ttl:
        return
    seconds = parse_duration_ns(ttl) / SECOND_NS
    if seconds != 0 and not shortest_s <= seconds <= TTL_MAX_S:
        raise BadInput(f"Invalid Session TTL '{ttl}', must be between [{shortest_s:g}s=10s] and [24h0m0s]")


def _check_health(call: Call, session: Session) -> None:
    """A session must not begin with what would end it. Raises Refused as Consul does."""
    entry = call.catalog.nodes.get(session.Node)
    if entry is None and session.Node != call.context.facts.node_name:
        raise Refused("Missing node registration")
    states = {SERF_HEALTH: entry.Status if entry else "passing"}
    states.update({check.CheckID: check.Status for check in (entry.Checks if entry else [])})
    for instance in call.catalog.instances_on(session.Node):
        states.update({check.CheckID: check.Status for check in instance.Checks})
    for name in (*session.NodeChecks, *(one.get("ID", one.get("id", "")) for one in session.ServiceChecks or ())):
        if name not in states:
            raise Refused(f"Missing check '{name}' registration")
        if states[name] == CRITICAL:
            raise Refused(f"Check '{name}' is in critical state")


async def create(call: Call) -> Any:
    """PUT /v1/session/create"""
    body = await call.body(SessionBody, optional=True)
    if body.Behavior not in {"release", "delete"}:
        raise BadInput(f"Invalid Behavior setting '{body.Behavior}'", next_step='Use "release" or "delete".')
    _check_ttl(body.TTL, call.context.facts.session_ttl_min_s)
    checks = body.NodeChecks if body.NodeChecks is not None else body.Checks
    session = Session(
        ID=new_id(),
        Name=body.Name,
        Node=body.Node or call.context.facts.node_name,
        Behavior=body.Behavior,
        TTL=body.TTL,
        LockDelay=lock_delay_ns(body.LockDelay),
        NodeChecks=checks if checks is not None else [SERF_HEALTH],
        ServiceChecks=body.ServiceChecks,
    )
    _check_health(call, session)
    keys = call.context.writer.keys

    def decide() -> Change[None]:
        change = Change(None)
        if session.Node == call.context.facts.node_name:
            registration.ensure_node(call.catalog, keys, change, call.context.facts.own_node())
        locks.create_session(keys, change, session)
        return change

    await call.context.writer.change(decide)
    return {"ID": session.ID}


async def destroy(call: Call) -> Any:
    """PUT /v1/session/destroy/:id: true for one that is gone already, too."""
    await end_session(call.context.writer, call.params["id"])
    return True


async def info(call: Call) -> Any:
    """GET /v1/session/info/:id"""
    await call.block(("session", call.params["id"]))
    session = call.catalog.sessions.get(call.params["id"])
    return [] if session is None else [session]


async def on_node(call: Call) -> Any:
    """GET /v1/session/node/:node"""
    name = call.params["node"]
    await call.block(("node_sessions", name))
    return [one for _, one in sorted(call.catalog.sessions.items()) if one.Node == name]


async def listing(call: Call) -> Any:
    """GET /v1/session/list"""
    await call.block(("sessions",))
    return [one for _, one in sorted(call.catalog.sessions.items())]


async def renew(call: Call) -> Any:
    """PUT /v1/session/renew/:id"""
    name, keys = call.params["id"], call.context.writer.keys

    def decide() -> Change[Session | None]:
        session = call.catalog.sessions.get(name)
        change = Change(session)
        if session is not None and session.TTL:
            change.require(keys.session(name), session.ModifyIndex)
            change.puts[keys.pulse("session", name)] = b""
        return change

    session = (await call.context.writer.change(decide)).result
    if session is None:
        raise NotFound(f"Session id '{name}' not found")
    return [session]
