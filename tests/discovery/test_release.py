"""When a stopped instance may be killed."""

from __future__ import annotations

import asyncio

import msgspec

from kokiris.discovery.catalog import Catalog
from kokiris.discovery.model import ServiceInstance
from kokiris.discovery.release import ACQUAINTANCE_S, EDGE_SILENCE_S, NO_EDGE_S, EdgeReport, ReleaseLedger
from kokiris.store.contract import Event, Range
from tests.discovery.conftest import KEYS


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def deleted_at(revision: int) -> tuple[Catalog, Clock, ReleaseLedger]:
    """Instance i1 of web, deleted at `revision`; a ledger that has been up for a while."""
    catalog, clock = Catalog(KEYS.root), Clock()
    catalog.load(Range(1, ()))
    stored = msgspec.msgpack.encode(ServiceInstance(ID="i1", Service="web", Node="n1"))
    catalog.apply(revision - 1, [Event(KEYS.instance("i1"), stored, revision - 1, revision - 1)])
    catalog.apply(revision, [Event(KEYS.instance("i1"), None, 0, revision)])
    ledger = ReleaseLedger(catalog, clock)
    clock.now_s += EDGE_SILENCE_S + 1
    return catalog, clock, ledger


def report(ledger: ReleaseLedger, node: str, applied: dict[str, int], *draining: str) -> None:
    ledger.report(node, EdgeReport(Applied=applied, Draining=list(draining)))


def test_every_live_edge_must_have_applied_the_deletion() -> None:
    _, _, ledger = deleted_at(20)
    report(ledger, "e1", {"web": 20})
    report(ledger, "e2", {"web": 19})
    assert ledger.unreleased(["i1"]) == ["i1"]
    report(ledger, "e2", {"web": 25})
    assert ledger.unreleased(["i1"]) == []


def test_draining_is_waited_for() -> None:
    _, _, ledger = deleted_at(20)
    report(ledger, "e1", {"web": 20}, "i1")
    assert ledger.unreleased(["i1"]) == ["i1"]
    report(ledger, "e1", {"web": 20})
    assert ledger.unreleased(["i1"]) == []


def test_a_service_no_edge_routes_to_is_released() -> None:
    _, _, ledger = deleted_at(20)
    report(ledger, "e1", {"other": 3})
    assert ledger.unreleased(["i1"]) == []


def test_an_instance_in_the_catalog_is_not_released() -> None:
    catalog, _, ledger = deleted_at(20)
    stored = msgspec.msgpack.encode(ServiceInstance(ID="i2", Service="web", Node="n1"))
    catalog.apply(21, [Event(KEYS.instance("i2"), stored, 21, 21)])
    report(ledger, "e1", {"web": 99})
    assert ledger.unreleased(["i1", "i2"]) == ["i2"]


def test_a_killed_edge_is_waited_for_until_it_must_be_gone() -> None:
    _, clock, ledger = deleted_at(20)
    report(ledger, "e1", {"web": 19})
    clock.now_s += EDGE_SILENCE_S - 0.1
    assert ledger.unreleased(["i1"]) == ["i1"]
    clock.now_s += 0.2
    assert ledger.unreleased(["i1"]) == []


def test_after_a_start_nobody_is_known_yet() -> None:
    catalog, clock, _ = deleted_at(20)
    fresh = ReleaseLedger(catalog, clock)
    report(fresh, "e1", {"web": 20})
    assert fresh.unreleased(["i1"]) == ["i1"]  # another edge may not have spoken yet
    clock.now_s += ACQUAINTANCE_S
    assert fresh.unreleased(["i1"]) == []
    silent = ReleaseLedger(catalog, clock)
    clock.now_s += NO_EDGE_S - 0.1
    assert silent.unreleased(["i1"]) == ["i1"]
    clock.now_s += 0.2
    assert silent.unreleased(["i1"]) == []


def test_what_went_before_a_restart_is_judged_by_the_snapshot() -> None:
    _, clock, _ = deleted_at(20)
    restarted = Catalog(KEYS.root)
    restarted.load(Range(30, ()))
    ledger = ReleaseLedger(restarted, clock)
    clock.now_s += ACQUAINTANCE_S
    report(ledger, "e1", {"web": 29, "other": 30})
    assert ledger.unreleased(["i1"]) == ["i1"]
    report(ledger, "e1", {"web": 30, "other": 30})
    assert ledger.unreleased(["i1"]) == []


async def test_waiting_ends_with_the_report() -> None:
    catalog, _, _ = deleted_at(20)
    ledger = ReleaseLedger(catalog)
    ledger._started_at_s -= EDGE_SILENCE_S
    report(ledger, "e1", {"web": 19})
    waiting = asyncio.create_task(ledger.wait_released(["i1"], 60))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    report(ledger, "e1", {"web": 20})
    assert await asyncio.wait_for(waiting, 30) == []
    report(ledger, "e1", {"web": 19})
    assert await ledger.wait_released(["i1"], 0.01) == ["i1"]
