"""Allocations at rest and in memory.

An allocation is stored in three parts, so that placing a thousand costs one key, and a worker's report never conflicts
with a scheduler's decision:

* a `PlanSegment` per (evaluation, group): what the scheduler placed, in columns;
* an `AllocDesired` per allocation, only once it differs from "run" (stopped, evicted, to be migrated…), written by the
  orchestrator;
* an `AllocClient` per allocation, written on behalf of the worker.

`Alloc` joins them in memory; `docs/architecture.md` gives the keys.
"""

from __future__ import annotations

import array

import msgspec

from kokiris.kernel.ids import id_at
from kokiris.orchestrator.model.allocwire import (
    AllocCheckStatus,
    AllocNetworkStatus,
    RescheduleHistory,
    TaskState,
    Transition,
)
from kokiris.orchestrator.model.metric import AllocationMetric

TERMINAL_CLIENT = frozenset({"complete", "failed", "lost"})
"""Client statuses from which an allocation never returns."""

COLLECTED = -1
"""In `PlanSegment.NodeRows`: the allocation of this row is gone."""


class PlanSegment(msgspec.Struct, kw_only=True):
    """`rows()` allocations of one group, placed by one evaluation. Columns are little-endian int32 (`pack_int32`)."""

    EvalID: str
    Namespace: str
    JobID: str
    JobVersion: int
    """The job version they run; that version is kept while a segment refers to it."""
    TaskGroup: str
    DeploymentID: str = ""
    CreateTime: int = 0
    """Unix ns."""
    AllocIDs: bytes = b""
    """16 bytes a row: `kernel.ids.id_at`."""
    NameIndexes: bytes = b""
    """The n of `job.group[n]`."""
    Nodes: list[str] = msgspec.field(default_factory=list)
    """Dictionary of node ids."""
    NodeRows: bytes = b""
    """Index into `Nodes`; `COLLECTED` for a row that garbage collection has removed."""
    PortLabels: list[str] = msgspec.field(default_factory=list)
    """Labels of the group's ports, static and dynamic, in declaration order."""
    Ports: bytes = b""
    """len(PortLabels) host ports a row."""
    CanaryRows: list[int] = msgspec.field(default_factory=list)
    Previous: dict[int, str] = msgspec.field(default_factory=dict)
    """Row → the allocation it replaces."""
    Histories: dict[int, RescheduleHistory] = msgspec.field(default_factory=dict)
    Metrics: AllocationMetric | None = None
    """One placement metric for the segment (that of its first row)."""

    def rows(self) -> int:
        """How many allocations."""
        return len(self.AllocIDs) // 16


class AllocDesired(msgspec.Struct, kw_only=True):
    """What the orchestrator wants of one allocation, once that is not simply "run"."""

    DesiredStatus: str = "run"
    """run, stop or evict."""
    DesiredDescription: str = ""
    DesiredTransition: Transition | None = None
    FollowupEvalID: str = ""
    NextAllocation: str = ""
    Healthy: bool | None = None
    """Set by an operator's or the deployment's decision; overrides the worker's word."""
    JobVersion: int | None = None
    """After an in-place update: the version it now runs."""
    DeploymentID: str | None = None
    """After an in-place update: the deployment it now belongs to."""
    PreemptedBy: str = ""
    ModifyTime: int = 0
    """Unix ns."""


class AllocClient(msgspec.Struct, kw_only=True):
    """What the worker says of one allocation."""

    ID: str
    ClientStatus: str = "pending"
    """pending, running, complete, failed, lost (written by the server), unknown."""
    ClientDescription: str = ""
    TaskStates: dict[str, TaskState] | None = None
    Healthy: bool | None = None
    """Deployment health as the worker judged it by the group's update policy; None: not known yet."""
    HealthyAt: int = 0
    """Unix ns of that judgement."""
    NetworkStatus: AllocNetworkStatus | None = None
    DriverAddresses: dict[str, str] | None = None
    """Task → address of its container, for `address_mode = "driver"`."""
    Checks: dict[str, AllocCheckStatus] | None = None
    """Check id → newest result. Check ids: `discovery.model.check_id`."""
    ModifyTime: int = 0
    """Unix ns."""


class Alloc(msgspec.Struct, kw_only=True, gc=False):
    """An allocation in memory: row of a segment + desired + client. `orchestrator.state` keeps it up to date."""

    ID: str
    Segment: PlanSegment
    Row: int
    NodeID: str
    Desired: AllocDesired | None = None
    Client: AllocClient | None = None
    CreateIndex: int = 0
    ModifyIndex: int = 0
    """Of any of the three parts."""
    AllocModifyIndex: int = 0
    """Of segment or desired: what a worker must look at again."""
    DesiredIndex: int = 0
    """Of the desired part alone (0: there is none): what a commit that changes it is conditional on."""

    @property
    def Namespace(self) -> str:
        return self.Segment.Namespace

    @property
    def JobID(self) -> str:
        return self.Segment.JobID

    @property
    def TaskGroup(self) -> str:
        return self.Segment.TaskGroup

    @property
    def EvalID(self) -> str:
        return self.Segment.EvalID

    @property
    def JobVersion(self) -> int:
        if self.Desired is not None and self.Desired.JobVersion is not None:
            return self.Desired.JobVersion
        return self.Segment.JobVersion

    @property
    def DeploymentID(self) -> str:
        if self.Desired is not None and self.Desired.DeploymentID is not None:
            return self.Desired.DeploymentID
        return self.Segment.DeploymentID

    @property
    def NameIndex(self) -> int:
        return int.from_bytes(self.Segment.NameIndexes[4 * self.Row : 4 * self.Row + 4], "little", signed=True)

    @property
    def Name(self) -> str:
        return f"{self.JobID}.{self.TaskGroup}[{self.NameIndex}]"

    @property
    def Canary(self) -> bool:
        return self.Row in self.Segment.CanaryRows

    @property
    def PreviousAllocation(self) -> str:
        return self.Segment.Previous.get(self.Row, "")

    @property
    def DesiredStatus(self) -> str:
        return "run" if self.Desired is None else self.Desired.DesiredStatus

    @property
    def ClientStatus(self) -> str:
        return "pending" if self.Client is None else self.Client.ClientStatus

    @property
    def Healthy(self) -> bool | None:
        if self.Desired is not None and self.Desired.Healthy is not None:
            return self.Desired.Healthy
        return None if self.Client is None else self.Client.Healthy

    def ports(self) -> dict[str, int]:
        """Label → host port."""
        labels = self.Segment.PortLabels
        start = self.Row * len(labels)
        return dict(zip(labels, unpack_int32(self.Segment.Ports)[start : start + len(labels)], strict=True))

    def client_terminal(self) -> bool:
        """The worker (or the loss of its node) has ended it."""
        return self.ClientStatus in TERMINAL_CLIENT

    def terminal(self) -> bool:
        """Wanted stopped, or ended: it counts for nothing any more in the job's desired state."""
        return self.DesiredStatus != "run" or self.client_terminal()


def pack_int32(values: list[int]) -> bytes:
    """A column of int32, little-endian (the byte order of every machine kokiris runs on)."""
    return array.array("i", values).tobytes()


def unpack_int32(column: bytes) -> array.array[int]:
    """The inverse of `pack_int32`."""
    unpacked = array.array("i")
    unpacked.frombytes(column)
    return unpacked


def rows_of(segment: PlanSegment, create_index: int) -> list[Alloc]:
    """The allocations of a freshly read segment, without desired and client parts; collected rows are left out."""
    node_rows = unpack_int32(segment.NodeRows)
    return [
        Alloc(
            ID=id_at(segment.AllocIDs, row),
            Segment=segment,
            Row=row,
            NodeID=segment.Nodes[node_rows[row]],
            CreateIndex=create_index,
            ModifyIndex=create_index,
            AllocModifyIndex=create_index,
        )
        for row in range(segment.rows())
        if node_rows[row] != COLLECTED
    ]
