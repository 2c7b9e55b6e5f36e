"""When there is a new version, which are kept, what scaling may do."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.core.specification import (
    TRACKED_VERSIONS,
    check_enforced_index,
    check_update,
    next_version,
    same_specification,
    scaled,
    versions_to_drop,
    with_counts_of,
)
from kokiris.orchestrator.model.job import Job, JobVersionTag, PeriodicConfig, TaskGroup
from kokiris.orchestrator.model.task import ScalingPolicy

JOB = Job(ID="web", TaskGroups=[TaskGroup(Name="site", Count=2)], JobModifyIndex=7, ModifyIndex=9, Version=3)
changed = msgspec.structs.replace


def test_indexes_and_marks_make_no_new_version() -> None:
    other = changed(JOB, Version=4, ModifyIndex=99, Stable=True, SubmitTime=5, JobModifyIndex=1, Status="running")
    assert same_specification(JOB, other)
    assert not same_specification(JOB, changed(JOB, Stop=True))
    assert not same_specification(JOB, changed(JOB, TaskGroups=[TaskGroup(Name="site", Count=3)]))


def test_the_next_version_starts_afresh() -> None:
    version = next_version(changed(JOB, Stable=True), {1: JOB, 3: JOB}, 42)
    assert (version.Version, version.Stable, version.JobModifyIndex, version.SubmitTime) == (4, False, 0, 42)
    assert next_version(JOB, {}, 42).Version == 0


@given(st.sets(st.integers(0, 40), min_size=1), st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_what_is_dropped_is_old_unused_and_untagged(kept: set[int], in_use: set[int], tagged: set[int]) -> None:
    newest = max(kept) + 1
    jobs = {one: Job(Version=one, VersionTag=JobVersionTag(Name="x") if one in tagged else None) for one in kept}
    dropped = set(versions_to_drop(jobs, newest, in_use))
    left = {*kept, newest} - dropped
    assert not dropped & (in_use | tagged)
    assert {*sorted({*kept, newest})[-TRACKED_VERSIONS:]} <= left
    assert len(left - in_use - tagged) <= TRACKED_VERSIONS


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Type": "batch"}, 'cannot update job from type "service" to "batch"'),
        ({"Periodic": PeriodicConfig()}, "cannot update non-periodic job to being periodic"),
    ],
)
def test_some_changes_are_refused(change: dict[str, object], text: str) -> None:
    with pytest.raises(Refused, match=text):
        check_update(JOB, changed(JOB, **change))


@pytest.mark.parametrize(
    ("current", "index", "text"),
    [
        (None, 0, ""),
        (JOB, None, ""),
        (JOB, 7, ""),
        (None, 5, "Enforcing job modify index 5: job does not exist"),
        (JOB, 0, "Enforcing job modify index 0: job already exists"),
        (JOB, 5, "Enforcing job modify index 5: job exists with conflicting job modify index: 7"),
    ],
)
def test_enforced_index(current: Job | None, index: int | None, text: str) -> None:
    if not text:
        check_enforced_index(current, index)
        return
    with pytest.raises(Refused) as caught:
        check_enforced_index(current, index)
    assert caught.value.message == text
    assert caught.value.http_status == 500


def test_scaling() -> None:
    group = TaskGroup(Name="site", Count=2, Scaling=ScalingPolicy(Min=1, Max=4))
    job = changed(JOB, TaskGroups=[group, TaskGroup(Name="other")])
    assert [one.Count for one in scaled(job, "site", 4).TaskGroups or ()] == [4, 1]
    for name, count, text in (
        ("none", 1, 'task group "none" specified for scaling does not exist in job'),
        ("site", 5, "group count was greater than scaling policy maximum: 5 > 4"),
        ("site", 0, "group count was less than scaling policy minimum: 0 < 1"),
        ("other", -1, "scaling action count can't be negative"),
    ):
        with pytest.raises(BadInput) as caught:
            scaled(job, name, count)
        assert caught.value.message == text


def test_counts_are_preserved_by_name() -> None:
    wanted = changed(JOB, TaskGroups=[TaskGroup(Name="site", Count=9), TaskGroup(Name="new", Count=5)])
    assert [group.Count for group in with_counts_of(wanted, JOB).TaskGroups or ()] == [2, 5]
