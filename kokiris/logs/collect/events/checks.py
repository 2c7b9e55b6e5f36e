"""What has changed in the health checks of services since they were last seen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from kokiris.discovery.model import alloc_of_instance
from kokiris.logs.collect.events.entry import EventEntry, sentence_end
from kokiris.logs.model import Document

OUTPUT_CHARS = 300
"""Of what a failing check said."""
_WORDS = {"passing": ("Passing", "info", "passes"), "warning": ("Warning", "warn", "has a warning of")}
_FAILING = ("Failing", "error", "fails")


class HealthCheck(msgspec.Struct, kw_only=True):
    """A check as `GET /v1/health/state/any` answers it."""

    Node: str = ""
    CheckID: str = ""
    Name: str = ""
    Status: str = ""
    Output: str = ""
    ServiceID: str = ""
    ServiceName: str = ""
    ModifyIndex: int = 0

    @property
    def key(self) -> str:
        """Unique among all checks."""
        return f"{self.Node}/{self.ServiceID}/{self.CheckID}"


@dataclass(frozen=True, slots=True)
class Turn:
    """A check that has changed its status. `alloc_id` "" is none of a job."""

    check: HealthCheck
    alloc_id: str


def statuses(checks: Iterable[HealthCheck]) -> dict[str, str]:
    """To be remembered: key → status of every check of a service."""
    return {one.key: one.Status for one in checks if one.ServiceID}


def turns(before: Mapping[str, str], checks: Iterable[HealthCheck]) -> list[Turn]:
    """Checks of services whose status is another than before. One that is new counts as failing so far: every check
    begins so, and that is no news."""
    return [
        Turn(one, alloc_of_instance(one.ServiceID))
        for one in checks
        if one.ServiceID and before.get(one.key, "critical") != one.Status
    ]


def of_turn(turn: Turn, fields: Document, time_ns: int) -> EventEntry:
    """`fields` are those of its allocation, if it is one's; `time_ns` is when the change was met: Consul tells none."""
    check = turn.check
    kind, level, words = _WORDS.get(check.Status, _FAILING)
    said = sentence_end(" ".join(check.Output.split()))[:OUTPUT_CHARS] if check.Status != "passing" else ""
    where = f"allocation {turn.alloc_id[:8]}" if turn.alloc_id else f"node {check.Node}"
    unnamed = check.Name == f'service: "{check.ServiceName}" check'
    named = "its check" if unnamed else f'its check "{check.Name}"'
    return EventEntry(
        identifier=f"{check.key}.event.{check.ModifyIndex:x}.{check.Status}",
        time_ns=time_ns,
        kind="Check",
        type=kind,
        level=level,
        message=f"Service {check.ServiceName} of {where} {words} {named}" + (f": {said}" if said else ""),
        fields={"node": check.Node, **fields, "service": check.ServiceName, "check": check.Name},
    )
