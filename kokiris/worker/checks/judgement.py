"""What a check's results add up to, and when to ask again. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kokiris.discovery.model import CRITICAL, PASSING, WARNING
from kokiris.orchestrator.model.service import ServiceCheck

QUICK_RETRY_S = 0.1
"""First retry of an instance that has not passed yet: a container that needs 300 ms to listen must not wait 10 s."""
QUICK_GROWTH = 1.4
OUTPUT_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Result:
    """One answer. `status` as of this answer alone."""

    status: str
    output: str
    code: int = 0
    """HTTP status; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class Tally:
    """All that is remembered of a check's results since its task started."""

    status: str = CRITICAL
    good: int = 0
    """Good results in a row."""
    bad: int = 0
    """Bad results in a row."""
    asked: int = 0
    ever_passed: bool = False
    good_since_ns: int = 0
    """Since when the status is passing (warning counts unless the check says otherwise); 0: it is not."""
    restart_bad: int = 0
    """Bad results in a row that count for `check_restart` (those within its grace do not)."""


def observe(tally: Tally, result: Result, check: ServiceCheck, now_ns: int) -> Tally:
    """The tally after one more result.

    A status changes only after `success_before_passing` good or `failures_before_critical` bad results in a row.
    """
    good = result.status in {PASSING, WARNING}
    row_good = tally.good + 1 if good else 0
    row_bad = 0 if good else tally.bad + 1
    status = tally.status
    if good and row_good >= max(1, check.SuccessBeforePassing):
        status = result.status
    elif not good:
        if row_bad >= max(1, check.FailuresBeforeCritical):
            status = CRITICAL
        elif check.FailuresBeforeWarning and row_bad >= check.FailuresBeforeWarning and status == PASSING:
            status = WARNING
    fine = status == PASSING or (status == WARNING and check.OnUpdate == "ignore_warnings")
    return replace(
        tally,
        status=status,
        good=row_good,
        bad=row_bad,
        asked=tally.asked + 1,
        ever_passed=tally.ever_passed or status == PASSING,
        good_since_ns=(tally.good_since_ns or now_ns) if fine else 0,
    )


def count_for_restart(tally: Tally, result: Result, check: ServiceCheck, since_start_ns: int) -> tuple[Tally, bool]:
    """Whether `check_restart` now asks for a restart, and the tally to go on with."""
    rule = check.CheckRestart
    if rule is None or rule.Limit <= 0:
        return tally, False
    bad = result.status == CRITICAL or (result.status == WARNING and not rule.IgnoreWarnings)
    if not bad or since_start_ns < rule.Grace:
        return replace(tally, restart_bad=0), False
    row = tally.restart_bad + 1
    if row >= rule.Limit:
        return replace(tally, restart_bad=0), True
    return replace(tally, restart_bad=row), False


def next_delay_s(tally: Tally, interval_s: float) -> float:
    """Until the next question: quick and growing until the first pass, the check's interval from then on."""
    if tally.ever_passed:
        return interval_s
    return float(min(interval_s, QUICK_RETRY_S * QUICK_GROWTH ** max(0, min(tally.asked, 40) - 1)))


def http_status(code: int) -> str:
    """As Consul: 2xx passes, 429 warns, anything else is critical."""
    if 200 <= code < 300:
        return PASSING
    return WARNING if code == 429 else CRITICAL
