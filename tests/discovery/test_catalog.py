"""The catalog fed by events, against simple models."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokiris.discovery.catalog import Catalog
from kokiris.discovery.kvspace import KNOWN_PREFIXES, KvSpace
from kokiris.discovery.model import CheckState, DeclaredService, KvEntry, NodeEntry, ServiceInstance
from kokiris.kernel.topics import Topic, Topics
from kokiris.store.contract import Event, KeyValue, Range
from tests.discovery.conftest import KEYS


class Feeding:
    """Commits events by hand."""

    def __init__(self) -> None:
        self.catalog = Catalog(KEYS.root)
        self.catalog.load(Range(10, ()))
        self.created: dict[bytes, int] = {}

    def put(self, key: bytes, value: msgspec.Struct) -> int:
        revision = self.catalog.revision + 1
        created = self.created.setdefault(key, revision)
        self.catalog.apply(revision, [Event(key, msgspec.msgpack.encode(value), created, revision)])
        return revision

    def delete(self, key: bytes) -> int:
        revision = self.catalog.revision + 1
        self.created.pop(key, None)
        self.catalog.apply(revision, [Event(key, None, 0, revision)])
        return revision

    def index(self, *topic: str) -> int:
        return self.catalog.topics.index(topic)


def instance(name: str, service: str = "web", status: str = "passing", **more: object) -> ServiceInstance:
    check = CheckState(CheckID="c", Status=status)
    return msgspec.structs.replace(ServiceInstance(ID=name, Service=service, Node="n1", Checks=[check]), **more)


@pytest.fixture
def feeding() -> Feeding:
    return Feeding()


def test_a_change_touches_its_own_service_only(feeding: Feeding) -> None:
    feeding.put(KEYS.instance("a"), instance("a", "web"))
    other = feeding.put(KEYS.instance("b"), instance("b", "other"))
    assert feeding.index("service", "other") == other
    assert feeding.index("service", "web") == other - 1
    changed = feeding.put(KEYS.instance("a"), instance("a", "web", "critical"))
    assert feeding.index("service", "web") == feeding.index("checks") == changed
    assert feeding.index("service", "other") == feeding.index("services") == other


def test_the_index_of_a_vanished_service_is_its_last_change(feeding: Feeding) -> None:
    feeding.put(KEYS.instance("a"), instance("a", "web"))
    gone = feeding.delete(KEYS.instance("a"))
    feeding.put(KEYS.instance("b"), instance("b", "other"))
    assert feeding.index("service", "web") == gone
    assert feeding.catalog.instances_of("web") == []
    assert feeding.catalog.departed["a"] == ("web", gone)
    assert feeding.index("service", "never") == 10  # not 0, and not before the snapshot


def test_an_instance_may_change_its_service(feeding: Feeding) -> None:
    feeding.put(KEYS.instance("a"), instance("a", "web"))
    moved = feeding.put(KEYS.instance("a"), instance("a", "api"))
    assert feeding.index("service", "web") == feeding.index("service", "api") == moved
    assert feeding.catalog.service_tags() == {"api": []}


def test_a_node_s_failure_reaches_its_services(feeding: Feeding) -> None:
    feeding.put(KEYS.node("n1"), NodeEntry(Node="n1", Address="10.0.0.1"))
    feeding.put(KEYS.instance("a"), instance("a", "web"))
    failed = feeding.put(KEYS.node("n1"), NodeEntry(Node="n1", Address="10.0.0.1", Status="critical"))
    assert feeding.index("service", "web") == feeding.index("checks") == failed
    assert feeding.catalog.status_of(feeding.catalog.instances_of("web")[0]) == "critical"
    assert feeding.catalog.address_of(feeding.catalog.instances_of("web")[0]) == "10.0.0.1"


def test_added_checks_survive_whoever_writes_the_instance_again(feeding: Feeding) -> None:
    feeding.put(KEYS.instance("a"), instance("a", "web"))
    added = feeding.put(KEYS.check("n1", "a", "mine"), CheckState(CheckID="mine", Status="warning"))
    assert feeding.index("service", "web") == added
    feeding.put(KEYS.instance("a"), instance("a", "web"))
    (shown,) = feeding.catalog.instances_of("web")
    assert [check.CheckID for check in shown.Checks] == ["c", "mine"]
    assert shown.status() == "warning"
    feeding.delete(KEYS.check("n1", "a", "mine"))
    assert feeding.catalog.instances_of("web")[0].status() == "passing"
    feeding.put(KEYS.node("n1"), NodeEntry(Node="n1"))
    feeding.put(KEYS.check("n1", "", "disk"), CheckState(CheckID="disk", Status="critical"))
    feeding.put(KEYS.node("n1"), NodeEntry(Node="n1", Address="new", Checks=feeding.catalog.node("n1").Checks))
    assert feeding.catalog.status_of(feeding.catalog.instances_of("web")[0]) == "critical"
    feeding.delete(KEYS.check("n1", "", "disk"))
    assert feeding.catalog.node("n1").Checks == []


def test_what_a_check_prints_does_not_change_the_endpoints(feeding: Feeding) -> None:
    first = feeding.put(KEYS.instance("a"), instance("a"))
    talked = instance("a", Checks=[CheckState(CheckID="c", Status="passing", Output="other words")])
    printed = feeding.put(KEYS.instance("a"), talked)
    assert feeding.index("endpoints") == first
    assert feeding.index("service", "web") == feeding.index("instances") == printed
    failed = feeding.put(KEYS.instance("a"), instance("a", status="critical"))
    assert feeding.index("endpoints") == failed
    node = feeding.put(KEYS.node("n1"), NodeEntry(Node="n1", Address="10.0.0.1"))
    assert feeding.index("endpoints") == node


def test_declared_services_are_listed(feeding: Feeding) -> None:
    key = KEYS.declared("default", "job", "web")
    feeding.put(key, DeclaredService(Service="web", Tags=["t"]))
    feeding.put(KEYS.instance("a"), instance("a", "web", Tags=["u"]))
    assert feeding.catalog.service_tags() == {"web": ["t", "u"]}
    feeding.delete(key)
    assert feeding.catalog.service_tags() == {"web": ["u"]}


def test_a_reload_wakes_everybody_and_no_index_goes_back(feeding: Feeding) -> None:
    feeding.put(KEYS.instance("a"), instance("a", "web"))
    before = feeding.index("service", "web")
    stored = msgspec.msgpack.encode(instance("b", "api"))
    feeding.catalog.load(Range(50, [KeyValue(KEYS.instance("b"), stored, 40, 41)]))
    assert before < feeding.index("service", "web") == feeding.index("service", "api") == 50
    assert feeding.catalog.loaded_revision == 50
    assert feeding.catalog.service_tags() == {"api": []}
    assert feeding.catalog.instances_of("api")[0].ModifyIndex == 41


async def test_a_reload_wakes_who_waits_for_what_was_not_there(feeding: Feeding) -> None:
    topics = feeding.catalog.topics
    waiting = [
        asyncio.create_task(topics.wait([topic], topics.index(topic), 60))
        for topic in (("service", "new"), ("kv", "k"))
    ]
    await asyncio.sleep(0)
    stored = msgspec.msgpack.encode(instance("n", "new"))
    pair = msgspec.msgpack.encode(KvEntry(Key="k"))
    feeding.catalog.load(
        Range(50, [KeyValue(KEYS.instance("n"), stored, 40, 40), KeyValue(KEYS.kv("k"), pair, 41, 41)])
    )
    await asyncio.wait_for(asyncio.gather(*waiting), 30)


def test_unknown_tables_are_left_to_newer_versions(feeding: Feeding) -> None:
    feeding.catalog.apply(99, [Event(KEYS.root + b"future/x", b"?", 99, 99)])
    assert feeding.catalog.revision == 99


NAMES = st.text("ab/", min_size=1, max_size=6)
STEPS = st.lists(
    st.one_of(st.tuples(st.just("put"), NAMES), st.tuples(st.just("delete"), NAMES), st.tuples(st.just("ask"), NAMES)),
    max_size=60,
)


@given(STEPS)
def test_prefix_reads_and_indexes_agree_with_a_naive_model(steps: list[tuple[str, str]]) -> None:
    feeding = Feeding()
    entries: dict[str, int] = {}
    asked: dict[str, int] = {}
    for verb, name in steps:
        if verb == "ask":
            index = feeding.catalog.topics.index(feeding.catalog.kv_prefix_topic(name))
            found = {entry.Key: entry.ModifyIndex for entry in feeding.catalog.kv.under(name)}
            assert found == {key: at for key, at in entries.items() if key.startswith(name)}
            assert list(found) == sorted(found)
            if name in asked:
                assert index == asked[name]
            asked[name] = index
            assert index >= max(found.values(), default=1)
            continue
        if verb == "put":
            revision = feeding.put(KEYS.kv(name), KvEntry(Key=name, Value=b"x"))
            entries[name] = revision
        else:
            revision = feeding.delete(KEYS.kv(name))
            entries.pop(name, None)
        for prefix in asked:
            if name.startswith(prefix):
                asked[prefix] = revision


@given(st.lists(NAMES, min_size=1, max_size=10), NAMES)
@settings(max_examples=50)
def test_a_change_wakes_exactly_the_waiters_of_its_prefixes(prefixes: list[str], changed: str) -> None:
    async def scenario() -> None:
        feeding = Feeding()
        topics = feeding.catalog.topics
        waiting = {}
        for prefix in set(prefixes):
            topic = feeding.catalog.kv_prefix_topic(prefix)
            waiting[prefix] = asyncio.create_task(topics.wait([topic], topics.index(topic), 30))
        await asyncio.sleep(0)
        feeding.put(KEYS.kv(changed), KvEntry(Key=changed))
        for _ in range(5):
            await asyncio.sleep(0)
        woken = {prefix for prefix, task in waiting.items() if task.done()}
        assert woken == {prefix for prefix in waiting if changed.startswith(prefix)}
        for task in waiting.values():
            task.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)
        assert topics.waiting() == 0

    asyncio.run(scenario())


def test_idle_prefixes_are_forgotten_without_an_index_going_back() -> None:
    space, topics = KvSpace(), Topics()
    space.put(KvEntry(Key="kept", ModifyIndex=5))
    first: Topic = space.prefix_topic("kept", topics)
    topics.touch(space.topics_of("kept"), 9)
    for number in range(KNOWN_PREFIXES + 10):
        space.prefix_topic(f"p{number}", topics)
    assert space.topics_of("kept") == [("kv", "kept")]
    assert topics.index(first) >= 9
    assert topics.index(space.prefix_topic("kept", topics)) >= 9
