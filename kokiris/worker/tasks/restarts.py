"""Whether and when an ended task is started again on this node: the `restart` block. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from kokiris.kernel.units import format_duration
from kokiris.orchestrator.model.policy import RestartPolicySpec

JITTER = 0.25
"""The delay is lengthened by up to this share, so that tasks that died together do not return together."""


class Verdict(StrEnum):
    """What becomes of an ended task."""

    RESTART = "restart"
    COMPLETE = "complete"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Decision:
    """`delay_ns` counts from now; `reason` is for the task's events."""

    verdict: Verdict
    reason: str = ""
    delay_ns: int = 0


class RestartHistory(msgspec.Struct, kw_only=True):
    """Restarts in the present interval; kept with the task so that a worker's own restart does not forgive any."""

    interval_start_ns: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended. `start_error` is set when it never ran; `final` when trying again cannot help."""

    success: bool = False
    start_error: str = ""
    final: bool = False


def decide(
    policy: RestartPolicySpec,
    history: RestartHistory,
    ended: Ended,
    now_ns: int,
    *,
    restart_on_success: bool,
    jitter: float,
) -> tuple[Decision, RestartHistory]:
    """The decision, and the history to keep. `jitter` in [0, 1) is the caller's random number.

    `restart_on_success`: a service's task is meant to run for ever, so an exit with 0 is a reason to restart too.
    """
    if ended.success and not restart_on_success:
        return Decision(Verdict.COMPLETE), history
    if ended.final:
        return Decision(Verdict.FAIL, "Error was unrecoverable"), history
    if policy.Attempts == 0 and policy.Mode != "delay":
        return Decision(Verdict.FAIL, "Policy allows no restarts"), history
    if now_ns - history.interval_start_ns >= policy.Interval:
        history = RestartHistory(interval_start_ns=now_ns, count=0)
    counted = RestartHistory(interval_start_ns=history.interval_start_ns, count=history.count + 1)
    if counted.count <= policy.Attempts:
        delay = policy.Delay + int(policy.Delay * JITTER * jitter)
        return Decision(Verdict.RESTART, "Restart within policy", delay), counted
    if policy.Mode == "delay":
        until_next = max(policy.Delay, history.interval_start_ns + policy.Interval - now_ns)
        return Decision(Verdict.RESTART, "Exceeded allowed attempts, applying a delay", until_next), counted
    reason = (
        f'Exceeded allowed attempts {policy.Attempts} in interval {format_duration(policy.Interval)} and mode is "fail"'
    )
    return Decision(Verdict.FAIL, reason), counted


def restarts_on_success(job_type: str, hook: str, *, sidecar: bool) -> bool:
    """Main tasks and sidecars of service and system jobs run for ever; batch tasks and init tasks end."""
    if hook and not sidecar:
        return False
    return job_type not in {"batch", "sysbatch"}
