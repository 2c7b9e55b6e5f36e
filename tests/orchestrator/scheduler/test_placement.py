"""`place` against a naive reference that scores every node anew for every allocation, in plain Python."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokiris.orchestrator.model.node import NodeReservedResources
from kokiris.orchestrator.model.policy import Affinity, Constraint, Spread, SpreadTargetSpec
from kokiris.orchestrator.scheduler.columns import Cluster
from kokiris.orchestrator.scheduler.draft import Draft
from kokiris.orchestrator.scheduler.explain import explain
from kokiris.orchestrator.scheduler.placement import Request, place

UNIT = 10**9


def power(free: int, total: int) -> int:
    """10^(free share), the share cut to 1/100,000, in nano-units: the definition `ranking` promises."""
    return round(10.0 ** ((free * 100_000 // max(total, 1)) / 100_000) * UNIT)


class Reference:
    """The same rules, written down one node at a time."""

    def __init__(self, nodes, job, group, algorithm):
        self.nodes, self.job, self.group, self.algorithm = nodes, job, group, algorithm
        self.used = [[0, 0] for _ in nodes]
        self.ports = [set() for _ in nodes]
        self.placed = []

    def value(self, row, target):
        node = self.nodes[row]
        return node.Datacenter if target == "${node.datacenter}" else (node.Attributes or {}).get(target[7:-1])

    def allowed(self, row):  # noqa: PLR0911 - one rule a line, as one reads them
        node, task = self.nodes[row], self.group.Tasks[0]
        capacity = node.NodeResources
        if self.used[row][0] + task.Resources.CPU > capacity.Cpu.CpuShares:
            return False
        if self.used[row][1] + task.Resources.MemoryMB > capacity.Memory.MemoryMB:
            return False
        for network in self.group.Networks or ():
            if any(port.Value in self.ports[row] for port in network.ReservedPorts):
                return False
            size = capacity.MaxDynamicPort - capacity.MinDynamicPort + 1
            wanted = len(network.DynamicPorts)
            if wanted and sum(port >= 20_000 for port in self.ports[row]) + wanted > size:
                return False
        for constraint in self.job.Constraints or ():
            if constraint.Operand == "distinct_hosts" and row in self.placed:
                return False
            if constraint.Operand == "=" and self.value(row, constraint.LTarget) != constraint.RTarget:
                return False
            if constraint.Operand == "distinct_property":
                value = self.value(row, constraint.LTarget)
                same = sum(self.value(other, constraint.LTarget) == value for other in self.placed)
                if value is None or same >= int(constraint.RTarget):
                    return False
        return True

    def parts(self, row, avoid):
        node, task = self.nodes[row], self.group.Tasks[0]
        capacity = node.NodeResources
        cpu, memory = capacity.Cpu.CpuShares, capacity.Memory.MemoryMB
        powers = power(cpu - self.used[row][0] - task.Resources.CPU, cpu) + power(
            memory - self.used[row][1] - task.Resources.MemoryMB, memory
        )
        raw = powers - 2 * UNIT if self.algorithm == "spread" else 20 * UNIT - powers
        parts = [min(max(raw, 0), 18 * UNIT) // 18]
        here = self.placed.count(row)
        if here:
            parts.append(-((here + 1) * UNIT // self.group.Count))
        if node.ID in avoid:
            parts.append(-UNIT)
        weights = sum(abs(one.Weight) for one in self.group.Affinities or ())
        matched = sum(one.Weight for one in self.group.Affinities or () if self.value(row, one.LTarget) == one.RTarget)
        if weights and matched * UNIT // weights:
            parts.append(matched * UNIT // weights)
        spread = sum(self.spread(one, row) for one in self.group.Spreads or ())
        if spread:
            parts.append(spread)
        return parts

    def spread(self, spread, row):
        used = Counter(value for other in self.placed if (value := self.value(other, spread.Attribute)) is not None)
        value = self.value(row, spread.Attribute)
        weights = sum(one.Weight for one in self.group.Spreads)
        if spread.SpreadTarget:
            wanted = {one.Value: one.Percent * self.group.Count for one in spread.SpreadTarget}
            rest = 100 * self.group.Count - sum(wanted.values())
            if rest > 0:
                wanted["*"] = rest
            desired = 0 if value is None else wanted.get(value, wanted.get("*", 0))
            if desired <= 0:
                return -UNIT
            score = (desired - 100 * (used[value] + 1)) * UNIT // desired
        elif not used:
            return 0
        elif value is None:
            return -UNIT
        else:
            least, most = min(used.values()), max(used.values())
            if used[value] != least:
                score = (least - used[value]) * UNIT // least
            elif least == most:
                return -UNIT
            else:
                score = (most - least) * UNIT // least
        return -UNIT if score == -UNIT else score * spread.Weight // weights

    def choose(self, request):
        best, best_score = -1, None
        for row in range(len(self.nodes)):
            if not self.allowed(row):
                continue
            parts = self.parts(row, request.avoid)
            score = Fraction(sum(parts), len(parts))
            if best_score is None or score > best_score:
                best, best_score = row, score
        return best

    def book(self, row, ports):
        task = self.group.Tasks[0]
        self.used[row][0] += task.Resources.CPU
        self.used[row][1] += task.Resources.MemoryMB
        assert not self.ports[row] & set(ports), "a port handed out twice"
        self.ports[row] |= set(ports)
        self.placed.append(row)


@st.composite
def problems(draw, box):
    size = draw(st.integers(1, 9))
    nodes = []
    for number in range(size):
        attributes = {"class": draw(st.sampled_from(["a", "b"]))} if draw(st.booleans()) else {}
        first = 20_000
        nodes.append(
            box.node(
                number,
                cpu=draw(st.sampled_from([0, 500, 1000, 4000])),
                memory=draw(st.sampled_from([256, 1000, 1000, 8000])),
                Datacenter=draw(st.sampled_from(["dc1", "dc2", "dc3"])),
                attributes=attributes,
                min_port=first,
                max_port=first + draw(st.sampled_from([1, 5, 100])),
            )
        )
    constraints = []
    if draw(st.integers(0, 3)) == 0:
        constraints.append(Constraint(Operand="distinct_hosts", RTarget="true"))
    if draw(st.integers(0, 3)) == 0:
        limit = str(draw(st.integers(1, 3)))
        constraints.append(Constraint(LTarget="${node.datacenter}", Operand="distinct_property", RTarget=limit))
    if draw(st.integers(0, 3)) == 0:
        constraints.append(Constraint(LTarget="${attr.class}", Operand="=", RTarget="a"))
    affinities = [
        Affinity(LTarget="${attr.class}", Operand="=", RTarget=value, Weight=draw(st.sampled_from([-100, 30, 50])))
        for value in draw(st.lists(st.sampled_from(["a", "b"]), max_size=2))
    ]
    spreads = []
    for attribute in draw(st.lists(st.sampled_from(["${node.datacenter}", "${attr.class}"]), max_size=2)):
        targets = [SpreadTargetSpec(Value="dc1", Percent=60), SpreadTargetSpec(Value="dc2", Percent=20)]
        spreads.append(
            Spread(
                Attribute=attribute,
                Weight=draw(st.sampled_from([50, 100])),
                SpreadTarget=targets if draw(st.booleans()) else None,
            )
        )
    count = draw(st.integers(1, 25))
    group = box.group(
        count=count,
        cpu=draw(st.sampled_from([50, 100, 300])),
        memory=draw(st.sampled_from([10, 128])),
        static={"admin": 8080} if draw(st.integers(0, 4)) == 0 else {},
        dynamic=draw(st.sampled_from([(), ("http",), ("http", "metrics")])),
        Affinities=affinities,
        Spreads=spreads,
    )
    avoided = draw(st.sets(st.integers(0, count - 1), max_size=2))
    requests = [
        Request(name_index=index, avoid=frozenset({nodes[0].ID}) if index in avoided else frozenset())
        for index in range(count)
    ]
    algorithm = draw(st.sampled_from(["binpack", "spread"]))
    return nodes, box.job(group, Constraints=constraints), group, requests, algorithm


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_place_gives_what_scoring_everything_anew_gives(box, data):
    nodes, job, group, requests, algorithm = data.draw(problems(box))
    cluster = Cluster(lambda _alloc: None)
    for node in nodes:
        cluster.node_changed(None, node)
    placement = place(Draft(cluster), job, group, requests, algorithm=algorithm)
    reference = Reference(nodes, job, group, algorithm)
    for request, row, ports in zip(requests, placement.rows, placement.ports, strict=True):
        assert row == reference.choose(request)
        if row >= 0:
            reference.book(row, ports)
    assert (placement.failure is not None) == (-1 in placement.rows)
    assert cluster.used.sum() == 0, "the cluster itself must not change"
    if placement.failure is not None:
        assert placement.failure.CoalescedFailures == placement.rows.count(-1) - 1
        assert explain(placement.failure, group, job)


def one_group(box, nodes, group, job=None, requests=None):
    cluster = Cluster(lambda _alloc: None)
    for node in nodes:
        cluster.node_changed(None, node)
    return place(Draft(cluster), job or box.job(group), group, requests or [Request()])


@pytest.mark.parametrize(
    ("node_fields", "group_fields", "job_fields", "words"),
    [
        ({}, {"memory": 9000}, {}, "1 has less than 9000 MB memory free"),
        ({}, {"cpu": 9000}, {}, "1 has less than 9000 MHz CPU free"),
        ({"disk": 10}, {}, {}, "1 has less than 300 MB disk free"),
        ({"attributes": {"driver.docker": "0"}}, {}, {}, "1 lacks a healthy driver docker"),
        (
            {},
            {"Constraints": [Constraint(LTarget="${attr.kernel.name}", Operand="=", RTarget="windows")]},
            {},
            "1 does not meet the constraint '${attr.kernel.name} = windows'",
        ),
        ({"Status": "down"}, {}, {}, "no node in datacenters * and node pool 'default' is ready and eligible"),
        ({"SchedulingEligibility": "ineligible"}, {}, {}, "is ready and eligible (1 node in the pool)"),
        ({}, {}, {"Datacenters": ["eu-*"]}, "no node in datacenters eu-*"),
        ({}, {}, {"NodePool": "gpu"}, "no node is in node pool 'gpu'"),
        (
            {"ReservedResources": NodeReservedResources(Networks={"ReservedHostPorts": "22,80"})},
            {"static": {"http": 80}},
            {},
            "on 1 the static port 80 (label 'http') is already taken",
        ),
        ({"min_port": 20000, "max_port": 20000}, {"dynamic": ("a", "b")}, {}, "1 has fewer than 2 dynamic ports free"),
    ],
)
def test_what_stands_in_the_way_is_named(box, node_fields, group_fields, job_fields, words):
    group = box.group(**group_fields)
    job = box.job(group, **job_fields)
    placement = one_group(box, [box.node(1, **node_fields)], group, job)
    assert placement.rows == [-1]
    assert placement.failure is not None
    sentence = explain(placement.failure, group, job)
    assert words in sentence
    assert sentence.startswith("Group 'web' of job 'site': 1 allocation not placed: ")


def test_the_metric_counts_and_scores(box):
    nodes = [box.node(1, memory=4000), box.node(2, NodeClass="small", attributes={"driver.docker": ""}), box.node(3)]
    placement = one_group(box, nodes, box.group())
    metric = placement.metric
    assert metric is not None
    assert (metric.NodesEvaluated, metric.NodesFiltered, metric.NodesInPool) == (3, 1, 3)
    assert metric.NodesAvailable == {"dc1": 3}
    assert metric.ConstraintFiltered == {"missing drivers": 1}
    assert metric.ClassFiltered == {"small": 1}
    best, second = metric.ScoreMetaData
    assert best.NodeID == nodes[0].ID
    assert best.NormScore > second.NormScore > 0
    assert best.Scores == {"binpack": best.NormScore}


def test_dynamic_ports_go_round_before_one_is_given_again(box):
    world = box.World()
    world.add_nodes(box.node(1, min_port=20_000, max_port=20_002))
    seen = []
    for number in range(4):
        world.register(box.job(box.group(dynamic=["http"]), ID=f"job{number}"))
        world.evaluate(job_id=f"job{number}")
        (alloc,) = world.live(job_id=f"job{number}")
        seen.append(alloc.ports()["http"])
        world.stop_job(f"job{number}")
        world.evaluate(job_id=f"job{number}")
        world.workers()
    assert sorted(seen[:3]) == [20_000, 20_001, 20_002]
    assert seen[3] == seen[0]
