"""The decisions of the worker, without I/O: tables and generated cases."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.discovery.model import CRITICAL, PASSING, WARNING
from kokiris.kernel.errors import BadInput, Forbidden
from kokiris.orchestrator.model.alloc import AllocClient
from kokiris.orchestrator.model.allocwire import TaskState
from kokiris.orchestrator.model.policy import RestartPolicySpec
from kokiris.orchestrator.model.service import CheckRestartSpec, ServiceCheck
from kokiris.worker.allocs.collection import Disk, EndedAlloc, next_for_room, to_collect
from kokiris.worker.allocs.health import CheckHealth, Policy, TaskHealth, judge
from kokiris.worker.allocs.status import client_status
from kokiris.worker.assignments import compare
from kokiris.worker.checks.judgement import Result, Tally, count_for_restart, http_status, next_delay_s, observe
from kokiris.worker.client import Assignment
from kokiris.worker.node_api.frames import StreamFrame, encode, start_position
from kokiris.worker.node_api.paths import parts_of, refuse_secrets
from kokiris.worker.outbox import Pending
from kokiris.worker.tasks import events, state
from kokiris.worker.tasks.ordering import DEAD, PENDING, RUNNING, Cause, TaskView, kill_waves, orders
from kokiris.worker.tasks.restarts import Ended, RestartHistory, Verdict, decide, restarts_on_success

S = 1_000_000_000
POLICY = RestartPolicySpec(Attempts=2, Interval=30 * S, Delay=10 * S, Mode="fail")
CRASH, WELL = Ended(success=False), Ended(success=True)


@pytest.mark.parametrize(
    ("policy", "count", "ended", "on_success", "verdict", "reason"),
    [
        (POLICY, 0, CRASH, True, Verdict.RESTART, "Restart within policy"),
        (POLICY, 1, CRASH, True, Verdict.RESTART, "Restart within policy"),
        (POLICY, 2, CRASH, True, Verdict.FAIL, 'Exceeded allowed attempts 2 in interval 30s and mode is "fail"'),
        (POLICY, 0, WELL, True, Verdict.RESTART, "Restart within policy"),
        (POLICY, 0, WELL, False, Verdict.COMPLETE, ""),
        (POLICY, 0, Ended(start_error="x", final=True), True, Verdict.FAIL, "Error was unrecoverable"),
        (RestartPolicySpec(Mode="fail"), 0, CRASH, True, Verdict.FAIL, "Policy allows no restarts"),
        (
            RestartPolicySpec(Attempts=1, Interval=30 * S, Delay=S, Mode="delay"),
            1,
            CRASH,
            True,
            Verdict.RESTART,
            "Exceeded allowed attempts, applying a delay",
        ),
    ],
)
def test_restart_policy(policy, count, ended, on_success, verdict, reason) -> None:
    history = RestartHistory(interval_start_ns=100 * S, count=count)
    decision, _ = decide(policy, history, ended, 105 * S, restart_on_success=on_success, jitter=0)
    assert (decision.verdict, decision.reason) == (verdict, reason)


@given(
    attempts=st.integers(0, 5),
    interval_s=st.integers(1, 60),
    gaps=st.lists(st.integers(0, 40), min_size=1, max_size=40),
    mode=st.sampled_from(["fail", "delay"]),
)
def test_never_more_restarts_in_an_interval_than_allowed(
    attempts: int, interval_s: int, gaps: list[int], mode: str
) -> None:
    policy = RestartPolicySpec(Attempts=attempts, Interval=interval_s * S, Delay=S, Mode=mode)
    history, now, starts = RestartHistory(), 1000 * S, list[int]()
    for gap in gaps:
        now += gap * S
        decision, history = decide(policy, history, CRASH, now, restart_on_success=True, jitter=0.5)
        if decision.verdict is Verdict.FAIL:
            assert mode == "fail"
            break
        assert policy.Delay <= decision.delay_ns
        now += decision.delay_ns
        starts.append(history.interval_start_ns)
    within = {start: starts.count(start) for start in starts}
    assert all(count <= attempts + (mode == "delay") for count in within.values())


def test_what_is_meant_to_end() -> None:
    assert restarts_on_success("service", "", sidecar=False)
    assert restarts_on_success("system", "prestart", sidecar=True)
    assert not restarts_on_success("service", "prestart", sidecar=False)
    assert not restarts_on_success("batch", "", sidecar=False)


def view(name: str, hook: str = "", state: str = PENDING, **more: bool) -> TaskView:
    return TaskView(name, hook, state=state, **more)


@pytest.mark.parametrize(
    ("tasks", "start", "kill"),
    [
        ([view("m")], {"m"}, {}),
        ([view("m"), view("p", "prestart")], {"p"}, {}),
        ([view("m"), view("p", "prestart", DEAD)], {"m"}, {}),
        ([view("m"), view("p", "prestart", sidecar=True)], {"p"}, {}),
        ([view("m"), view("p", "prestart", RUNNING, sidecar=True)], {"m"}, {}),
        ([view("m"), view("a", "poststart")], {"m"}, {}),
        ([view("m", state=RUNNING, ran=True), view("a", "poststart")], {"a"}, {}),
        ([view("m", state=DEAD), view("z", "poststop")], {"z"}, {}),
        ([view("m", state=RUNNING), view("z", "poststop")], set(), {}),
        ([view("m", state=DEAD), view("s", "prestart", RUNNING, sidecar=True)], set(), {"s": Cause.MAIN_DEAD}),
        ([view("m", state=DEAD, failed=True), view("n", state=RUNNING)], set(), {"n": Cause.SIBLING_FAILED}),
        ([view("m", state=DEAD, leader=True), view("n", state=RUNNING)], set(), {"n": Cause.LEADER_DEAD}),
        ([view("p", "prestart", DEAD, failed=True), view("m")], set(), {"m": Cause.SIBLING_FAILED}),
    ],
)
def test_order_of_tasks(tasks: list[TaskView], start: set[str], kill: dict[str, Cause]) -> None:
    found = orders(tasks)
    assert (set(found.start), found.kill) == (start, kill)


ANY_TASKS = st.lists(
    st.builds(
        TaskView,
        name=st.just("t"),
        hook=st.sampled_from(["", "prestart", "poststart", "poststop"]),
        sidecar=st.booleans(),
        leader=st.booleans(),
        state=st.sampled_from([PENDING, RUNNING, DEAD]),
        failed=st.booleans(),
        ran=st.booleans(),
    ),
    min_size=1,
    max_size=6,
).map(lambda tasks: [replace(t, name=f"t{n}", sidecar=t.sidecar and bool(t.hook)) for n, t in enumerate(tasks)])


@given(tasks=ANY_TASKS, stopping=st.booleans())
def test_orders_are_never_contradictory(tasks: list[TaskView], stopping: bool) -> None:
    found = orders(tasks, stopping=stopping)
    by_name = {task.name: task for task in tasks}
    assert not found.start & set(found.kill)
    assert all(by_name[name].state == PENDING for name in found.start)
    assert all(by_name[name].state != DEAD for name in found.kill)
    waves = [name for wave in kill_waves(tasks) for name in wave]
    assert sorted(waves) == sorted(t.name for t in tasks if t.state != DEAD and t.hook != "poststop")


@given(tasks=ANY_TASKS)
def test_every_group_comes_to_an_end(tasks: list[TaskView]) -> None:
    """Carrying out the orders, with tasks that end well as soon as they run, leaves every task dead."""
    tasks = [replace(task, state=PENDING, failed=False, ran=False) for task in tasks]
    for _ in range(4 * len(tasks) + 4):
        found = orders(tasks)
        moved: list[TaskView] = []
        for task in tasks:
            if task.name in found.start:
                moved.append(replace(task, state=RUNNING, ran=True))
            elif task.name in found.kill or (task.state == RUNNING and not task.sidecar):
                moved.append(replace(task, state=DEAD))
            else:
                moved.append(task)
        tasks = moved
    mains = [task for task in tasks if not task.hook]
    if mains:
        assert all(task.state == DEAD for task in tasks if task.hook != "poststop" or not task.sidecar)


RUNS = TaskHealth(long_lived=True, state="running", failed=False, started_at_ns=100 * S)
RULES = Policy(min_healthy_ns=10 * S, deadline_ns=60 * S)


@pytest.mark.parametrize(
    ("tasks", "checks", "now_s", "healthy", "again_s"),
    [
        ([RUNS], [], 105, None, 110),
        ([RUNS], [], 110, True, 0),
        ([RUNS], [CheckHealth(0)], 120, None, 160),
        ([RUNS], [CheckHealth(0)], 160, False, 0),
        ([RUNS], [CheckHealth(0, required=False)], 110, True, 0),
        ([RUNS], [CheckHealth(105 * S)], 110, None, 115),
        ([RUNS], [CheckHealth(105 * S)], 115, True, 0),
        ([replace(RUNS, state="dead", failed=True)], [], 105, False, 0),
        ([replace(RUNS, state="pending")], [], 105, None, 160),
        ([RUNS, TaskHealth(long_lived=False, state="running", failed=False, prerequisite=True)], [], 120, None, 160),
    ],
)
def test_health(tasks, checks, now_s, healthy, again_s) -> None:
    found = judge(RULES, 100 * S, tasks, checks, now_s * S)
    assert (found.healthy, found.again_at_ns) == (healthy, again_s * S)


def test_manual_health_is_never_judged_and_task_states_ignore_checks() -> None:
    assert judge(replace(RULES, health_check="manual"), 0, [RUNS], [], 10**18).healthy is None
    assert judge(replace(RULES, health_check="task_states"), 100 * S, [RUNS], [CheckHealth(0)], 110 * S).healthy


@given(good=st.lists(st.booleans(), min_size=1, max_size=60), passing=st.integers(0, 4), critical=st.integers(0, 4))
def test_a_check_turns_only_after_enough_results_in_a_row(good: list[bool], passing: int, critical: int) -> None:
    check = ServiceCheck(SuccessBeforePassing=passing, FailuresBeforeCritical=critical)
    tally = Tally()
    for number, one in enumerate(good):
        before = tally.status
        tally = observe(tally, Result(PASSING if one else CRITICAL, ""), check, (number + 1) * S)
        if before != tally.status:
            needed = max(1, passing if tally.status == PASSING else critical)
            assert good[number + 1 - needed : number + 1] == [tally.status == PASSING] * needed
        assert (tally.good_since_ns > 0) == (tally.status == PASSING)


def test_check_restart_counts_in_a_row_after_its_grace() -> None:
    check = ServiceCheck(CheckRestart=CheckRestartSpec(Limit=2, Grace=10 * S))
    bad, good = Result(CRITICAL, ""), Result(PASSING, "")
    tally, wants = Tally(), list[bool]()
    for result, since_s in [(bad, 1), (bad, 2), (bad, 11), (good, 12), (bad, 13), (bad, 14), (bad, 15)]:
        tally, want = count_for_restart(tally, result, check, since_s * S)
        wants.append(want)
    assert wants == [False, False, False, False, False, True, False]


def test_first_questions_are_quick_and_slow_down_to_the_interval() -> None:
    delays = [next_delay_s(Tally(asked=asked), 10.0) for asked in range(1, 60)]
    assert delays[0] <= 0.1
    assert delays == sorted(delays)
    assert delays[-1] == 10.0
    assert next_delay_s(Tally(asked=1, ever_passed=True), 10.0) == 10.0
    assert [http_status(code) for code in (200, 204, 301, 429, 500)] == [PASSING, PASSING, CRITICAL, WARNING, CRITICAL]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["pending"], "pending"),
        (["running", "pending"], "running"),
        (["dead", "pending"], "pending"),
        (["dead", "running"], "running"),
        (["dead"], "complete"),
        (["failed", "running"], "failed"),
    ],
)
def test_client_status(states: list[str], status: str) -> None:
    made = {
        str(n): TaskState(State="dead" if one == "failed" else one, Failed=one == "failed")
        for n, one in enumerate(states)
    }
    assert client_status(made) == status


def test_assignments_compared() -> None:
    wanted = [Assignment(AllocID=ident, AllocModifyIndex=index) for ident, index in (("a", 1), ("b", 9), ("n", 1))]
    found = compare({"a": 1, "b": 2, "c": 3}, wanted)
    assert (found.fetch, found.gone) == (("b", "n"), ("c",))


@given(ended=st.lists(st.integers(0, 1000), unique=True, max_size=80), keep=st.integers(0, 60))
def test_collection_keeps_the_newest(ended: list[int], keep: int) -> None:
    allocs = [EndedAlloc(f"a{ns}", ns) for ns in ended]
    gone = to_collect(allocs, keep)
    kept = [one for one in allocs if one.id not in gone]
    assert len(kept) == min(keep, len(allocs))
    assert all(int(one[1:]) < kept_one.ended_ns for one in gone for kept_one in kept)
    assert next_for_room(allocs, Disk(0.5, 0.5)) == ""
    assert next_for_room(allocs, Disk(0.9, 0.0)) == (f"a{min(ended)}" if ended else "")


@given(steps=st.lists(st.sampled_from(["put", "take", "ok", "lost"]), max_size=40))
def test_the_newest_word_always_arrives(steps: list[str]) -> None:
    pending, said, arrived, under_way = Pending(), 0, 0, list[AllocClient]()
    for step in steps:
        if step == "put":
            said += 1
            pending.put(AllocClient(ID="a", HealthyAt=said))
        elif step == "take" and not under_way:
            under_way = pending.take()
        elif step == "ok" and under_way:
            arrived = max([arrived, *(one.HealthyAt for one in under_way)])
            pending.acknowledge()
            under_way = []
        elif step == "lost" and under_way:
            pending.give_back()
            under_way = []
    if under_way:
        pending.give_back()
    arrived = max([arrived, *(one.HealthyAt for one in pending.take())])
    assert arrived == said


@pytest.mark.parametrize("path", ["..", "a/../..", "/../x", "a/../../b", "\0"])
def test_paths_that_climb_out(path: str) -> None:
    with pytest.raises(BadInput):
        parts_of(path)


@given(parts=st.lists(st.sampled_from(["a", "..", ".", "", "b"]), max_size=12))
def test_parts_never_contain_dots(parts: list[str]) -> None:
    try:
        found = parts_of("/".join(parts))
    except BadInput:
        return
    assert not {"..", ".", ""} & set(found)


def test_the_history_of_a_task_that_fails_under_its_policy_is_kept_whole() -> None:
    now_ns, history = itertools.count(1), [events.received, lambda at: events.setup(at, "Building Task Directory")]
    for _ in range(3):
        history += [
            lambda at: events.driver_message(at, "Downloading image"), events.started,
            lambda at: events.terminated(at, exit_code=1), lambda at: events.restarting(at, "it ended", S),
        ]  # fmt: skip
    told = state.initial()
    for one in history:
        told = state.with_event(told, one(next(now_ns)))
    assert [event.Time for event in told.Events or ()] == list(range(1, len(history) + 1))
    for _ in range(100):
        told = state.with_event(told, events.started(next(now_ns)))
    assert len(told.Events or ()) == events.KEPT_EVENTS, "it does not grow without end"


def test_secrets_are_refused() -> None:
    for parts in (["web", "secrets"], ["web", "secrets", "x"], ["web", "private"]):
        with pytest.raises(Forbidden):
            refuse_secrets(parts)
    for fine in (["alloc", "secrets"], ["web", "local"], ["web"], []):
        refuse_secrets(fine)


@given(
    sizes=st.lists(st.integers(0, 20), max_size=6), origin=st.sampled_from(["start", "end"]), offset=st.integers(0, 150)
)
def test_start_position_is_that_of_the_concatenation(sizes: list[int], origin: str, offset: int) -> None:
    total = sum(sizes)
    wanted = max(0, total - offset) if origin == "end" else min(offset, total)
    number, at = start_position(sizes, origin, offset)
    assert sum(sizes[:number]) + at == wanted
    assert not sizes or at <= sizes[number]


def test_frames() -> None:
    assert encode(StreamFrame()) == b"{}"
    assert encode(StreamFrame(File="f", Offset=3, Data=b"ab")) == b'{"File":"f","Offset":3,"Data":"YWI="}'
