"""Deadlines of heartbeats."""

from __future__ import annotations

from kokiris.orchestrator.core.heartbeats import FAILOVER_TTL_S, GRACE_S, MIN_TTL_S, Heartbeats


def no_jitter(_low: float, _high: float) -> float:
    return 0.0


def watched(heartbeats: Heartbeats, from_s: float, to_s: float) -> list[str]:
    """Who is overdue at `to_s`, having looked every second since `from_s`."""
    now_s, found = from_s, list[str]()
    while now_s <= to_s:
        found = heartbeats.overdue(now_s)
        now_s += 1
    return found


def test_silence_ends_in_time() -> None:
    heartbeats = Heartbeats(no_jitter)
    assert heartbeats.beat("a", 0) == MIN_TTL_S
    assert watched(heartbeats, 0, MIN_TTL_S + GRACE_S - 1) == []
    assert watched(heartbeats, MIN_TTL_S + GRACE_S, MIN_TTL_S + GRACE_S + 1) == ["a"]
    heartbeats.forget("a")
    assert heartbeats.overdue(MIN_TTL_S + GRACE_S + 2) == []


def test_jitter_lengthens_the_ttl() -> None:
    heartbeats = Heartbeats(lambda low, high: high)
    assert heartbeats.beat("a", 0) == 2 * MIN_TTL_S


def test_many_nodes_beat_more_rarely() -> None:
    heartbeats = Heartbeats(no_jitter)
    for number in range(5000):
        heartbeats.beat(str(number), 0)
    assert heartbeats.beat("0", 0) == 100


def test_a_new_leader_waits_for_all_but_not_for_long() -> None:
    heartbeats = Heartbeats(no_jitter)
    heartbeats.beat("gone", 0)
    heartbeats.begin(["a", "b"], 100)
    heartbeats.beat("b", 125)
    due_s = 100 + FAILOVER_TTL_S + GRACE_S
    assert watched(heartbeats, 100, due_s) == ["a"]


def test_our_own_stall_is_not_their_silence() -> None:
    heartbeats = Heartbeats(no_jitter)
    heartbeats.beat("a", 0)
    assert heartbeats.overdue(1) == []
    assert heartbeats.overdue(61) == []  # we were away for a minute
    assert watched(heartbeats, 62, 79) == []
    assert watched(heartbeats, 80, 82) == ["a"]
