"""When a failed allocation is tried again elsewhere, and how often."""

from __future__ import annotations

import msgspec

from kokiris.kernel.clock import parse_rfc3339_ns
from kokiris.orchestrator.model.alloc import Alloc
from kokiris.orchestrator.model.allocwire import RescheduleEvent, RescheduleHistory
from kokiris.orchestrator.model.policy import ReschedulePolicySpec

MAX_PAST_EVENTS = 5
"""Attempts remembered under an unlimited policy."""


def history_of(alloc: Alloc) -> RescheduleHistory | None:
    """Earlier attempts of the allocation."""
    return alloc.Segment.Histories.get(alloc.Row)


def failed_at_ns(alloc: Alloc) -> int:
    """When it failed: the end of its last task, else the worker's last word; 0 when unknown."""
    if alloc.Client is None:
        return 0
    states = (alloc.Client.TaskStates or {}).values()
    return max([parse_rfc3339_ns(state.FinishedAt) for state in states], default=0) or alloc.Client.ModifyTime


def next_attempt_ns(alloc: Alloc, policy: ReschedulePolicySpec | None) -> int | None:
    """When a failed allocation is to be replaced (possibly in the past); None: never."""
    if policy is None or alloc.ClientStatus != "failed":
        return None
    failed_ns = failed_at_ns(alloc)
    delay_ns = next_delay_ns(alloc, policy)
    events = _events(alloc)
    if policy.Unlimited:
        return failed_ns + delay_ns
    if policy.Attempts <= 0:
        return None
    recent = [event for event in events if failed_ns - event.RescheduleTime < policy.Interval]
    if events and (len(recent) >= policy.Attempts or delay_ns >= policy.Interval):
        return None
    return failed_ns + delay_ns


def next_delay_ns(alloc: Alloc, policy: ReschedulePolicySpec) -> int:
    """The back-off before the next attempt: constant, exponential (doubling) or fibonacci, at most `MaxDelay`.

    After a run longer than `MaxDelay` the series starts anew.
    """
    events = _events(alloc)
    if not events or policy.DelayFunction not in {"exponential", "fibonacci"}:
        return policy.Delay
    last = events[-1].Delay or policy.Delay
    if policy.DelayFunction == "exponential":
        delay_ns = 2 * last
    else:
        before = events[-2].Delay if len(events) > 1 else 0
        started_anew = before == policy.MaxDelay and last == policy.Delay
        delay_ns = last if started_anew else last + before
    if policy.MaxDelay <= 0 or delay_ns <= policy.MaxDelay:
        return delay_ns
    ran_ns = failed_at_ns(alloc) - events[-1].RescheduleTime
    return policy.Delay if ran_ns > policy.MaxDelay else policy.MaxDelay


def extended_history(alloc: Alloc, policy: ReschedulePolicySpec | None, now_ns: int) -> RescheduleHistory:
    """The history of the allocation that replaces `alloc` now."""
    events = _events(alloc)
    if policy is not None and policy.Attempts > 0 and not policy.Unlimited:
        events = [event for event in events if now_ns - event.RescheduleTime <= policy.Interval]
    else:
        events = events[-(MAX_PAST_EVENTS - 1) :]
    delay_ns = next_delay_ns(alloc, policy) if policy is not None else 0
    new = RescheduleEvent(RescheduleTime=now_ns, PrevAllocID=alloc.ID, PrevNodeID=alloc.NodeID, Delay=delay_ns)
    return RescheduleHistory(Events=[*(msgspec.structs.replace(event) for event in events), new])


def failed_nodes(alloc: Alloc) -> frozenset[str]:
    """Nodes where it, or those it replaced, failed."""
    return frozenset([alloc.NodeID, *(event.PrevNodeID for event in _events(alloc))])


def _events(alloc: Alloc) -> list[RescheduleEvent]:
    history = history_of(alloc)
    return list(history.Events or ()) if history is not None else []
