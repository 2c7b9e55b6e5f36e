"""Host ports of a node, and indexes of names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kokiris.orchestrator.model.node import NodeReservedResources
from kokiris.orchestrator.scheduler.names import NameIndex
from kokiris.orchestrator.scheduler.ports import NodePorts, port_range, reserved_ports, starting_port


@given(st.lists(st.tuples(st.integers(99, 106), st.booleans()), max_size=60))
def test_ports_count_like_a_multiset(changes):
    ports, held = NodePorts(100, 104, frozenset({101})), {101: 1}
    for port, more in changes:
        if more or held.get(port, 0) > (port == 101):
            ports.count(port, 1 if more else -1)
            held[port] = held.get(port, 0) + (1 if more else -1)
    taken = {port for port, count in held.items() if count}
    assert {port for port in range(99, 107) if ports.is_taken(port)} == taken
    assert ports.free_dynamic == len(set(range(100, 105)) - taken)
    free = ports.next_free(ports.cursor, ())
    assert (free is None) == (ports.free_dynamic == 0)
    assert free not in taken
    moved = ports.moved(90, 110, frozenset())
    assert {port for port in range(90, 111) if moved.is_taken(port)} == taken - ({101} if held[101] == 1 else set())


def test_reserved_ports_are_read_leniently(box):
    node = box.node(1, ReservedResources=NodeReservedResources(Networks={"ReservedHostPorts": "22, 80,8500-8502,x,7-"}))
    assert reserved_ports(node) == {22, 80, 8500, 8501, 8502, 7}
    assert port_range(node) == (20_000, 32_000)
    assert port_range(box.node(2, min_port=9000, max_port=9001)) == (9000, 9001)


def test_infras_that_share_a_machine_begin_with_different_ports(box):
    starts = [starting_port(box.node(number)) for number in range(50)]
    assert len(set(starts)) > 40
    assert all(20_000 <= port <= 32_000 for port in starts)
    assert starting_port(box.node(1)) == starting_port(box.node(1)), "a node that returns begins where it did"


def test_names():
    names = NameIndex(5, [0, 2])
    assert names.next(2) == [1, 3]
    assert names.highest(2) == {3, 2}
    assert names.next(1) == [2]
    names.release(0)
    assert names.next(1) == [0]


def test_canary_names_are_those_they_will_replace_then_free_then_new_ones():
    assert NameIndex(3, [0, 1, 2]).next_canaries(2, [], [0, 1, 2]) == [0, 1]
    assert NameIndex(3, [0, 1, 2]).next_canaries(2, [0], [0, 1, 2]) == [1, 2]
    assert NameIndex(2, [0]).next_canaries(3, [], [0]) == [0, 1, 2]
