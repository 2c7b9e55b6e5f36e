"""Random histories: whatever users, nodes and workers do, the invariants hold and the end is what was asked for."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kokiris.orchestrator.core.node_changes import drain_ended
from kokiris.orchestrator.model.alloc import AllocDesired
from kokiris.orchestrator.scheduler.drain import drain_node, draining, is_migrating
from kokiris.orchestrator.scheduler.loss import node_lost

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Histories are short already; shrinking them takes minutes."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["update", "scale", "in_place", "canary", "stop", "workers", "fail", "watch", "down", "up", "drain", "time",
             "evaluate", "stop_alloc", "promote"]
        ),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=14,
)  # fmt: skip


class History:
    """Carries out steps on a world; unknown or impossible ones do nothing."""

    def __init__(self, box, static: bool, seed: str = "") -> None:
        self.box, self.world = box, box.World(seed)
        self.world.add_nodes(*(box.node(number, memory=2000) for number in range(4)))
        self.image, self.count, self.canary, self.min_healthy = 1, 3, 0, 1
        self.static = {"admin": 9000} if static else {}
        self.register()

    def register(self) -> None:
        update = self.box.update(MaxParallel=1, Canary=self.canary, MinHealthyTime=self.min_healthy)
        group = self.box.group(
            count=self.count,
            image=f"web:{self.image}",
            dynamic=["http"],
            static=self.static,
            Update=update,
            ReschedulePolicy=self.box.reschedule,
        )
        self.world.register(self.box.job(group))
        self.world.evaluate()

    def step(self, name: str, number: int) -> None:
        world = self.world
        getattr(self, f"do_{name}")(number)
        names = [one.NameIndex for one in world.live() if not one.Canary and not is_migrating(one)]
        assert len(names) == len(set(names)), "two allocations of one name"

    def do_update(self, _number):
        self.image += 1
        self.register()

    def do_scale(self, number):
        self.count = number % 5
        self.register()

    def do_in_place(self, _number):
        self.min_healthy += 1
        self.register()

    def do_canary(self, number):
        self.canary = number % 3
        self.image += 1
        self.register()

    def do_stop(self, _number):
        self.world.stop_job()
        self.world.evaluate(trigger="job-deregister")

    def do_workers(self, number):
        self.world.workers(limit=number + 1)

    def do_fail(self, number):
        live = [one for one in self.world.live() if one.ClientStatus != "failed"]
        if live:
            self.world.report(live[number % len(live)], "failed", False)
            self.world.evaluate(trigger="alloc-failure")

    def do_watch(self, _number):
        self.world.watch()

    def do_evaluate(self, _number):
        self.world.evaluate(trigger="node-update")

    def do_stop_alloc(self, number):
        live = self.world.live()
        if live:
            self.world.migrate(live[number % len(live)])
            self.world.evaluate(trigger="alloc-stop")

    def do_promote(self, _number):
        from kokiris.kernel.errors import BadInput
        from kokiris.orchestrator.scheduler.deployments import promote

        deployment = self.world.deployment()
        if deployment.Status != "running":
            return
        try:
            promoted = promote(deployment, None, self.world.now_ns)
        except BadInput:
            return
        self.world.commit({self.box.KEYS.deployment(promoted.ID): promoted})
        self.world.evaluate(trigger="deployment-watcher")

    def node(self, number):
        return list(self.world.state.nodes.values())[number % 4]

    def do_down(self, number):
        world, node = self.world, self.node(number)
        if node.Status != "ready":
            return
        lost = node_lost(node, world.state.allocs_of_node(node.ID), world.state.job_of, world.now_ns)
        clients = {self.box.KEYS.alloc_client(key): one for key, one in lost.clients.items()}
        world.commit({self.box.KEYS.node(node.ID): lost.node, **clients})
        world.evaluate(trigger="node-update")

    def do_up(self, number):
        node = self.node(number)
        for alloc in self.world.state.allocs_of_node(node.ID):  # a returning worker has stopped what was given up
            assert node.Status != "down" or alloc.client_terminal()
        self.world.change_node(
            node.ID, Status="ready", SchedulingEligibility="eligible", DrainStrategy=None, Drain=False
        )
        self.world.evaluate(trigger="node-update")

    def do_drain(self, number):
        world, node = self.world, self.node(number)
        if node.Status == "ready" and node.DrainStrategy is None:
            world.commit(
                {self.box.KEYS.node(node.ID): draining(node, 0, ignore_system_jobs=False, now_ns=world.now_ns)}
            )

    def do_time(self, number):
        self.world.now_ns += number * 20 * self.box.SECOND
        for one in list(self.world.state.evals.values()):
            if one.Status == "pending":
                self.world.evaluate(one)

    def drains(self) -> bool:
        """One round of the drainer; True when it did something."""
        world, acted = self.world, False
        for node in list(world.state.nodes.values()):
            if node.DrainStrategy is None:
                continue

            def group_allocs(namespace, job_id, group):
                found = world.state.allocs_of_job(namespace, job_id)
                return [alloc for alloc in found if alloc.TaskGroup == group]

            decision = drain_node(
                node, world.state.allocs_of_node(node.ID), world.state.job_of, group_allocs, world.now_ns
            )
            if decision.done:
                world.commit({self.box.KEYS.node(node.ID): drain_ended(node, world.now_ns, "complete")})
            for alloc_id in decision.migrate:
                world.migrate(world.state.allocs[alloc_id])
            if decision.migrate:
                world.evaluate(trigger="node-drain")
            acted = acted or decision.done or bool(decision.migrate)
        return acted

    def finish(self) -> None:
        """Everything becomes well; time passes; in the end nothing moves."""
        world = self.world
        for number in range(4):
            if self.node(number).DrainStrategy is None:
                self.do_up(number)
        self.canary = 0
        self.image += 1
        self.register()
        for _ in range(60):
            world.settle()
            acted = self.drains()
            pending = [one for one in world.state.evals.values() if one.Status == "pending"]
            world.now_ns += 100 * self.box.SECOND
            for one in pending:
                world.evaluate(one)
            if not acted and not pending:
                break
        world.settle()


@given(steps=STEPS, static=st.booleans())
@settings(max_examples=40, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_any_history_ends_with_what_was_asked_for(box, steps, static):
    history = History(box, static)
    for name, number in steps:
        history.step(name, number)
    history.finish()
    world = history.world
    live = world.live()
    usable = {one.ID for one in world.state.nodes.values() if one.SchedulingEligibility == "eligible"}
    draining = {one.ID for one in world.state.nodes.values() if one.DrainStrategy is not None}
    expected = min(history.count, len(usable | draining)) if static else history.count
    assert len(live) == expected
    assert all(one.ClientStatus == "running" for one in live)
    on_draining = [one for one in live if one.NodeID in draining]
    assert {one.NodeID for one in live if one not in on_draining} <= usable
    if on_draining:  # only where there is no other place for it: one node, one static port
        assert static
        assert len(live) - len(on_draining) == len(usable)
        return
    newest = world.state.job("default", "site").Version
    assert {one.JobVersion for one in live} <= {newest}
    if expected == history.count:
        assert len({one.NameIndex for one in live}) == history.count, "names are distinct (not always the lowest)"
        assert world.evaluate().changes_nothing(), "a settled job is left alone"


@given(steps=STEPS)
@settings(max_examples=10, deadline=None, phases=PHASES)
def test_the_same_history_gives_the_same_decisions(box, steps):
    one, other = History(box, False, "seed"), History(box, False, "seed")
    for name, number in steps:
        one.step(name, number)
        other.step(name, number)
    assert one.world.decisions == other.world.decisions


@given(count=st.integers(2, 6), max_parallel=st.integers(1, 3), order=st.lists(st.integers(0, 5), max_size=60))
@settings(max_examples=25, deadline=None, phases=PHASES)
def test_never_more_than_max_parallel_are_down_in_a_rolling_update(box, count, max_parallel, order):
    world = box.World()
    world.add_nodes(*(box.node(number) for number in range(3)))
    update = box.update(MaxParallel=max_parallel)
    world.register(box.job(box.group(count=count, Update=update)))
    world.evaluate()
    world.settle()
    for image in ("web:2", "web:3"):  # the second version comes in the middle of the first one's rollout
        world.register(box.job(box.group(count=count, image=image, Update=update)))
        world.evaluate()
        for choice in order:
            waiting = [one for one in world.allocs() if one.ClientStatus == "pending" and one.DesiredStatus == "run"]
            stopping = [one for one in world.allocs() if one.DesiredStatus != "run" and not one.client_terminal()]
            everything = waiting + stopping
            if everything:
                one = everything[choice % len(everything)]
                world.report(one, "running" if one in waiting else "complete", True if one in waiting else None)
            world.watch()
            assert sum(one.Healthy is True for one in world.live()) >= count - max_parallel
    world.settle()
    assert [one.JobVersion for one in world.live()] == [2] * count


@pytest.mark.parametrize("count", [1, 3])
def test_desired_parts_are_replaced_whole(box, count):
    """What another part wrote (a transition) survives what the scheduler writes."""
    world = box.World()
    world.add_nodes(box.node(1))
    world.register(box.job(box.group(count=count)))
    world.evaluate()
    alloc = world.live()[0]
    world.change_desired(alloc, PreemptedBy="somebody")
    world.stop_job()
    decision = world.evaluate()
    assert isinstance(decision.desired[alloc.ID], AllocDesired)
    assert decision.desired[alloc.ID].PreemptedBy == "somebody"
