"""The one door: an evaluation and the state in, a decision out."""

from __future__ import annotations

from collections.abc import Callable

from kokiris.kernel import ids
from kokiris.orchestrator.model.evaluation import Evaluation
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.scheduler.columns import Cluster
from kokiris.orchestrator.scheduler.decision import Decision
from kokiris.orchestrator.state import State


def schedule(
    evaluation: Evaluation,
    state: State,
    cluster: Cluster,
    now_ns: int,
    *,
    job: Job | None = None,
    new_ids: Callable[[int], bytes] = ids.new_ids,
) -> Decision:
    """Decides what the evaluation's job needs now.

    Looks at the job named by the evaluation (`job`, when given, stands in for it: the dry run of `plan`; give it the
    version it would get). `cluster` must have followed the same state. Nothing is mutated; the same input (ids and
    `now_ns` included) gives the same decision. A job that is gone counts as stopped. What cannot be placed is not an
    error: it is in `Decision.failed`, with a blocked evaluation.
    """
    raise NotImplementedError
