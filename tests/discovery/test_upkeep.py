"""Deadlines, thresholds of checks, and what the leader does unasked."""

from __future__ import annotations

import asyncio

import msgspec

from kokiris.discovery import locks, registration, sessions
from kokiris.discovery.checks import Progress
from kokiris.discovery.deadlines import Deadlines
from kokiris.discovery.definitions import CheckBody, Definition, check_state
from kokiris.discovery.locks import KvDraft
from kokiris.discovery.model import KvEntry, NodeEntry, ServiceInstance, Session
from kokiris.discovery.upkeep import Upkeep
from kokiris.discovery.writer import Change
from tests.discovery.conftest import Discovery, eventually


def test_deadlines_count_from_the_last_sign_seen() -> None:
    deadlines: Deadlines[str] = Deadlines()
    assert deadlines.overdue([("a", 1, 10), ("b", 1, 20)], 0) == []
    assert deadlines.overdue([("a", 1, 10), ("b", 1, 20)], 10) == []
    assert deadlines.overdue([("a", 1, 10), ("b", 1, 20)], 11) == ["a"]
    assert deadlines.overdue([("a", 2, 10), ("b", 1, 20)], 12) == []
    assert deadlines.overdue([("a", 2, 10), ("b", 1, 20)], 21) == ["b"]
    assert deadlines.overdue([("a", 2, 10)], 23) == ["a"]
    assert deadlines.overdue([], 24) == []
    assert deadlines.overdue([("a", 2, 10)], 25) == []  # a new one of that name


def test_thresholds_ask_for_results_in_a_row() -> None:
    definition = Definition(SuccessBeforePassing="2", FailuresBeforeCritical="1")
    progress = Progress("critical")
    seen = [progress.judge(one, definition) for one in ("passing", "passing", "passing", "critical", "critical")]
    assert seen == ["critical", "critical", "passing", "passing", "critical"]
    assert Progress("critical").judge("passing", Definition()) == "passing"


async def lock(discovery: Discovery, name: str, session: str) -> bool:
    def decide() -> Change[bool]:
        draft = KvDraft(discovery.catalog, discovery.keys)
        return draft.change.giving(draft.acquire(KvEntry(Key=name), session))

    return (await discovery.writer.change(decide)).result


async def make_session(discovery: Discovery, name: str, **more: object) -> str:
    session = msgspec.structs.replace(Session(ID=name, Node="n1", LockDelay=0), **more)

    def decide() -> Change[None]:
        change = Change(None)
        locks.create_session(discovery.keys, change, session)
        return change

    await discovery.writer.change(decide)
    return name


async def test_of_many_contenders_one_gets_the_lock(discovery: Discovery) -> None:
    names = [await make_session(discovery, f"s{number}") for number in range(20)]
    got = await asyncio.gather(*(lock(discovery, "k", name) for name in names))
    assert got.count(True) == 1
    holder = discovery.catalog.kv.entries["k"].Session
    assert holder == names[got.index(True)]
    await sessions.end_session(discovery.writer, holder)
    assert discovery.catalog.kv.entries["k"].Session == ""
    assert (await asyncio.gather(*(lock(discovery, "k", name) for name in names if name != holder))).count(True) == 1


async def test_concurrent_check_and_set_counts_right(discovery: Discovery) -> None:
    async def increment() -> None:
        def decide() -> Change[bool]:
            known = discovery.catalog.kv.entries.get("n")
            draft = KvDraft(discovery.catalog, discovery.keys)
            value = int(known.Value if known else b"0") + 1
            done = draft.set(KvEntry(Key="n", Value=str(value).encode()), known.ModifyIndex if known else 0)
            return draft.change.giving(done)

        await discovery.writer.change(decide)

    await asyncio.gather(*(increment() for _ in range(20)))
    assert discovery.catalog.kv.entries["n"].Value == b"20"


async def test_a_failed_node_or_check_ends_sessions(discovery: Discovery) -> None:
    node = NodeEntry(Node="n1", Address="10.0.0.1")
    await discovery.put({discovery.keys.node("n1"): msgspec.msgpack.encode(node)})
    await make_session(discovery, "s1")
    await make_session(discovery, "leans", NodeChecks=["disk"])
    assert await lock(discovery, "k", "s1")
    upkeep = asyncio.create_task(Upkeep(discovery.writer, tick_s=0.01).run())
    disk = check_state(CheckBody(Name="disk", TTL="1h", Status="passing"), "disk", "disk")
    await discovery.writer.change(lambda: registration_of(discovery, disk))
    await asyncio.sleep(0.05)
    assert set(discovery.catalog.sessions) == {"s1", "leans"}
    at = ("n1", "", "disk")
    await discovery.writer.change(lambda: registration.set_check(discovery.catalog, discovery.keys, at, "critical", ""))
    await eventually(lambda: set(discovery.catalog.sessions) == {"s1"})
    failed = msgspec.structs.replace(node, Status="critical")
    await discovery.put({discovery.keys.node("n1"): msgspec.msgpack.encode(failed)})
    await eventually(lambda: not discovery.catalog.sessions)
    assert discovery.catalog.kv.entries["k"].Session == ""
    await make_session(discovery, "on-a-node-that-left", Node="n2")
    await eventually(lambda: not discovery.catalog.sessions)
    upkeep.cancel()
    await asyncio.gather(upkeep, return_exceptions=True)


def registration_of(discovery: Discovery, check: object) -> Change[None]:
    change = Change(None)
    registration.put_check(discovery.catalog, discovery.keys, change, ("n1", "", "disk"), check)
    return change


async def test_a_service_critical_for_too_long_is_removed_and_orphans_too(discovery: Discovery) -> None:
    upkeep = asyncio.create_task(Upkeep(discovery.writer, tick_s=0.01, deregister_after_min_s=0.1).run())
    check = check_state(CheckBody(TTL="1h", DeregisterCriticalServiceAfter="50ms"), "c", "c")
    instance = ServiceInstance(ID="web", Service="web", Node="n1")

    def decide() -> Change[None]:
        change = Change(None)
        registration.put_instance(discovery.catalog, discovery.keys, change, instance, [check])
        return change

    await discovery.writer.change(decide)
    await eventually(lambda: not discovery.catalog.instances)
    assert not discovery.catalog.added_checks
    assert not discovery.catalog.pulses
    await discovery.put({discovery.keys.check("n1", "left-over", "c"): msgspec.msgpack.encode(check)})
    await eventually(lambda: not discovery.catalog.added_checks)
    upkeep.cancel()
    await asyncio.gather(upkeep, return_exceptions=True)
