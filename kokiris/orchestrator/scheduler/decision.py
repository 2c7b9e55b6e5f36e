"""What an evaluation comes to: plain data, to be committed as a whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.alloc import AllocClient, AllocDesired, PlanSegment
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.evaluation import DesiredUpdates, Evaluation
from kokiris.orchestrator.model.metric import AllocationMetric


@dataclass(slots=True, kw_only=True)
class Decision:
    """The outcome of `schedule`. All objects are new: nothing here is shared with the state it was made from."""

    evaluation: Evaluation
    """The processed evaluation as it is to be stored (also the first of `evaluations`). Its `StatusDescription` says in
    words what was not placed and why; "" when everything was."""
    segments: list[PlanSegment] = field(default_factory=list)
    """New allocations."""
    desired: dict[str, AllocDesired] = field(default_factory=dict)
    """Allocation id → its whole new desired part (stops, in-place updates, follow-ups)."""
    clients: dict[str, AllocClient] = field(default_factory=dict)
    """Allocation id → client part, for allocations found lost with their node."""
    deployments: list[Deployment] = field(default_factory=list)
    """New and changed ones, whole."""
    evaluations: list[Evaluation] = field(default_factory=list)
    """The processed one, a blocked one, follow-ups with `WaitUntil`, and cancelled older blocked ones."""
    desired_updates: dict[str, DesiredUpdates] = field(default_factory=dict)
    """Group → counts of what is done, as `nomad job plan` shows them."""
    failed: dict[str, AllocationMetric] = field(default_factory=dict)
    """Group → why (some of) its allocations were not placed; absent when all were."""
    metrics: dict[str, AllocationMetric] = field(default_factory=dict)
    """Group → the metric of its first placement."""

    @property
    def blocked(self) -> Evaluation | None:
        """The evaluation that waits for capacity, if something was not placed."""
        return next((one for one in self.evaluations if one.Status == "blocked"), None)

    @property
    def stopped(self) -> list[str]:
        """Ids of the allocations this decision stops."""
        return [alloc_id for alloc_id, desired in self.desired.items() if desired.DesiredStatus != "run"]

    def changes_nothing(self) -> bool:
        """True when only the evaluation itself is to be stored."""
        return not (self.segments or self.desired or self.clients or self.deployments or len(self.evaluations) > 1)

    def puts(self, keys: Keys) -> dict[bytes, bytes]:
        """Everything to store, encoded; to be committed at once (with the deletion of the stopped ones' instances)."""
        encode = msgspec.msgpack.encode
        puts = {keys.alloc_desired(alloc_id): encode(desired) for alloc_id, desired in self.desired.items()}
        puts |= {keys.alloc_client(alloc_id): encode(client) for alloc_id, client in self.clients.items()}
        puts |= {plan_key(keys, segment): encode(segment) for segment in self.segments}
        puts |= {keys.deployment(one.ID): encode(one) for one in self.deployments}
        puts |= {keys.evaluation(one.ID): encode(one) for one in self.evaluations}
        return puts


def plan_key(keys: Keys, segment: PlanSegment) -> bytes:
    """The key of a segment, unlike that of any other: beside unpromoted canaries one evaluation may place the old and
    the new version of a group, and a blocked evaluation is processed (and may place something) more than once."""
    group = f"{segment.TaskGroup}@{segment.JobVersion}.{segment.AllocIDs[:8].hex()}"
    return keys.plan(segment.Namespace, segment.JobID, segment.EvalID, group)
