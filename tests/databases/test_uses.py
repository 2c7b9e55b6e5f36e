"""Which jobs a database is used by."""

from __future__ import annotations

import pytest

from kokiris.databases.uses import jobs_using
from kokiris.orchestrator.model.job import Job, Task, TaskGroup


def job(name: str, *, meta=None, group=None, task=None, **fields) -> Job:
    return Job(
        ID=name, Meta=meta, TaskGroups=[TaskGroup(Name="g", Meta=group, Tasks=[Task(Name="t", Meta=task)])], **fields
    )


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (job("a", meta={"database": "shop"}), True),
        (job("a", group={"database": "other, shop"}), True),
        (job("a", task={"database": "shop"}), True),
        (job("a", meta={"database": "shop"}, Stop=True), False),
        (job("a", meta={"database": "shop"}, Namespace="web"), False),
        (job("a", meta={"database": "shop_2", "owner": "shop"}), False),
        (Job(ID="a"), False),
    ],
)
def test_a_job_uses_the_database_it_names(given: Job, used: bool) -> None:
    assert jobs_using("shop", "default", [given]) == (["a"] if used else [])
