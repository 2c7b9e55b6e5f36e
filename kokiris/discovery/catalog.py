"""Everything discovery knows, materialised in memory and fed by the store's watch. Reads never touch the store.

What is handed out is shared: treat it as immutable (`msgspec.structs.replace` makes a changed copy).

Topics:

| topic | touched by |
|---|---|
| `("services",)` | a service or instance registered, changed or gone (not by its checks) |
| `("service", name)` | any change of an instance of it, of their checks, or of a node they are on |
| `("instances",)` | any change of any instance or node |
| `("endpoints",)` | as before, but for what checks print and other things DNS does not care for |
| `("checks",)` | any change of the result of any check |
| `("nodes",)`, `("node", name)` | a node; the latter also what is registered on it |
| `("kv", key)`, `("kv_prefix", text)` | a key; any key that starts with the text (ask `kv_prefix_topic` for it) |
| `("sessions",)`, `("session", id)` | sessions |
| `("events",)`, `("queries",)` | custom events, prepared queries |
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from kokiris.discovery.kvspace import KvSpace
from kokiris.discovery.model import (
    CheckState,
    DeclaredService,
    KvEntry,
    NodeEntry,
    PreparedQuery,
    ServiceInstance,
    Session,
    UserEvent,
)
from kokiris.kernel.keys import parts
from kokiris.kernel.names import PLATFORM
from kokiris.kernel.topics import Topic, Topics
from kokiris.store.contract import Event, Range

T = TypeVar("T")

InstanceKey = tuple[str, str]
"""(node, instance id)."""

CheckKey = tuple[str, str, str]
"""(node, instance id or "", check id)."""

REMEMBERED_TOPICS = 10_000
"""How many topics of deleted objects keep an index of their own."""
REMEMBERED_DEPARTED = 10_000


class Catalog:
    """Tables and the indexes over them; `topics` carries the wake-ups, `revision` is what has been applied."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.revision = 0
        self.topics = Topics()
        self.listeners: list[Callable[[int, Sequence[Event]], None]] = []
        """Told of every commit once it is applied: revision and raw events (the orchestrator's event stream)."""
        self.loaded_revision = 0
        """Of the newest snapshot loaded: what vanished before it left no trace."""
        self.departed: OrderedDict[str, tuple[str, int]] = OrderedDict()
        """The last instances that left: id → (service, revision of the deletion)."""
        self._gone: deque[tuple[Topic, int]] = deque()
        self._tables: dict[str, Callable[[list[str], Event], Iterable[Topic]]] = {
            "instance": self._apply_instance,
            "check": self._apply_check,
            "declared": self._apply_declared,
            "node": self._apply_node,
            "kv": self._apply_kv,
            "session": self._apply_session,
            "lock_delay": self._apply_lock_delay,
            "pulse": self._apply_pulse,
            "event": self._apply_event,
            "query": self._apply_query,
        }
        self._clear()

    def _clear(self) -> None:
        self.instances: dict[InstanceKey, ServiceInstance] = {}
        self.stored_at: dict[InstanceKey, bytes] = {}
        """The store key of each instance: a job's and the API's differ."""
        self.nodes: dict[str, NodeEntry] = {}
        self.declared: dict[tuple[str, str, str], DeclaredService] = {}
        self.kv = KvSpace()
        self.sessions: dict[str, Session] = {}
        self.locked_by: dict[str, set[str]] = defaultdict(set)
        """Session id → the kv keys it holds."""
        self.lock_delays: dict[str, int] = {}
        """Kv keys that may not be locked yet → revision."""
        self.pulses: dict[tuple[str, str], int] = {}
        """(kind, of) → revision of the last sign of life."""
        self.events: dict[str, UserEvent] = {}
        self.queries: dict[str, PreparedQuery] = {}
        self.added_checks: dict[InstanceKey, dict[str, CheckState]] = defaultdict(dict)
        """Checks added through the API: (node, instance id or "") → check id → check."""
        self.checks_called: dict[str, set[InstanceKey]] = defaultdict(set)
        """Check id → where an added check of that id is."""
        self.check_revisions: dict[CheckKey, int] = {}
        """Mod revision of each added check's key."""
        self._registered: dict[InstanceKey, ServiceInstance] = {}
        """Instances as they are stored, without added checks."""
        self._registered_nodes: dict[str, NodeEntry] = {}
        self._by_stored: dict[bytes, InstanceKey] = {}
        self._by_service: dict[str, dict[InstanceKey, ServiceInstance]] = defaultdict(dict)
        self._by_node: dict[str, dict[InstanceKey, ServiceInstance]] = defaultdict(dict)
        self._by_id: dict[str, dict[InstanceKey, ServiceInstance]] = defaultdict(dict)
        self._declared_by_name: dict[str, dict[tuple[str, str, str], DeclaredService]] = defaultdict(dict)

    # ---- reads -------------------------------------------------------------------------------------------------

    def all_instances(self) -> Iterable[ServiceInstance]:
        return self.instances.values()

    def instances_of(self, service: str) -> Sequence[ServiceInstance]:
        """Of a service, in a stable order."""
        return [one for _, one in sorted(self._by_service.get(service, {}).items())]

    def instances_on(self, node: str) -> Sequence[ServiceInstance]:
        return [one for _, one in sorted(self._by_node.get(node, {}).items())]

    def instances_called(self, instance_id: str) -> Sequence[ServiceInstance]:
        """Those with this id: ids are unique per node."""
        return [one for _, one in sorted(self._by_id.get(instance_id, {}).items())]

    def node(self, name: str) -> NodeEntry:
        """The node, or one without address for a name nobody registered."""
        return self.nodes.get(name) or NodeEntry(Node=name)

    def stored_revision(self, node: str, instance_id: str = "") -> int:
        """Mod revision of the key of an instance, or of a node; 0 when absent. What is shown may be newer: checks."""
        if instance_id:
            instance = self._registered.get((node, instance_id))
            return instance.ModifyIndex if instance else 0
        entry = self._registered_nodes.get(node)
        return entry.ModifyIndex if entry else 0

    def address_of(self, instance: ServiceInstance) -> str:
        """Where the instance is reached: its own address, else its node's."""
        return instance.Address or self.node(instance.Node).Address

    def status_of(self, instance: ServiceInstance) -> str:
        """The worst status of its checks, its node's included."""
        node = self.node_of(instance)
        found = {instance.status(), node.Status, *(check.Status for check in node.Checks)}
        return next((status for status in ("critical", "warning") if status in found), "passing")

    def node_of(self, instance: ServiceInstance) -> NodeEntry:
        """The instance's node with the checks that count for it: what a tenant checks on a node does not stop what the
        platform runs there."""
        node = self.node(instance.Node)
        return msgspec.structs.replace(node, Checks=[]) if instance.Namespace == PLATFORM and node.Checks else node

    def service_tags(self) -> dict[str, list[str]]:
        """Every known service, declared ones included, with the union of its tags.

        An add-on's declaration gives no tags: without an instance its address is answered by the platform itself.
        """
        tags: dict[str, set[str]] = {name: set() for name in (*self._by_service, *self._declared_by_name)}
        for name, instances in self._by_service.items():
            for instance in instances.values():
                tags[name].update(instance.Tags)
        for name, declared in self._declared_by_name.items():
            for one in declared.values():
                if one.Namespace != PLATFORM:
                    tags[name].update(one.Tags)
        return {name: sorted(of_name) for name, of_name in sorted(tags.items())}

    def kv_prefix_topic(self, prefix: str) -> Topic:
        """The topic of all keys that start with `prefix`."""
        return self.kv.prefix_topic(prefix, self.topics)

    # ---- feeding -----------------------------------------------------------------------------------------------

    def load(self, snapshot: Range) -> None:
        """Replaces everything with `snapshot` (a range over `root`). Every index counts as the snapshot's revision,
        since what was deleted meanwhile leaves no trace in it; whoever waits is woken."""
        changed = set(self.topics.known())
        self._clear()
        for item in snapshot.items:
            of_item = self._apply_one(Event(item.key, item.value, item.create_revision, item.mod_revision))
            changed.update(topic for topic in of_item if self.topics.is_waited_on(topic))
        revision = self.loaded_revision = max(1, snapshot.revision)
        self.topics.raise_floor(revision)
        self.topics.touch(changed, revision)
        self.revision = max(self.revision, snapshot.revision)

    def apply(self, revision: int, events: Sequence[Event]) -> None:
        """Applies one commit."""
        touched: set[Topic] = set()
        for event in events:
            touched.update(self._apply_one(event))
        self.revision = max(self.revision, revision)
        self.topics.touch(touched, revision)
        while len(self._gone) > REMEMBERED_TOPICS:
            topic, gone_at = self._gone.popleft()
            if self.topics.index(topic) <= gone_at:  # it did not come back
                self.topics.raise_floor(gone_at)
                self.topics.forget(topic)
        for listener in self.listeners:
            listener(revision, events)

    def _apply_one(self, event: Event) -> Iterable[Topic]:
        table, *rest = parts(event.key, self.root)
        apply = self._tables.get(table)
        return apply(rest, event) if apply is not None else ()  # a newer version's table: not ours to read

    def _apply_instance(self, _rest: list[str], event: Event) -> Iterable[Topic]:
        old_key = self._by_stored.pop(event.key, None)
        before = self._drop_instance(old_key) if old_key is not None else None
        after: ServiceInstance | None = None
        if event.value is not None:
            registered = _decode(event, ServiceInstance)
            registered.CreateIndex, registered.ModifyIndex = event.create_revision, event.mod_revision
            after = self._keep_instance(event.key, registered)
        if after is None and before is not None:
            self._depart(before, event)
        return _instance_topics(before, after)

    def _depart(self, gone: ServiceInstance, event: Event) -> None:
        self.departed[gone.ID] = (gone.Service, event.mod_revision)
        while len(self.departed) > REMEMBERED_DEPARTED:
            self.departed.popitem(last=False)
        self._forget_later([("instance", gone.ID)], event)
        if gone.Service not in self._by_service:
            self._forget_later([("service", gone.Service)], event)

    def _keep_instance(self, stored: bytes, registered: ServiceInstance) -> ServiceInstance:
        key = (registered.Node, registered.ID)
        self._registered[key] = registered
        self.stored_at[key] = stored
        self._by_stored[stored] = key
        return self._show_instance(key)

    def _show_instance(self, key: InstanceKey) -> ServiceInstance:
        """Puts the instance, with its added checks, into every index. To the platform's nobody adds any."""
        instance = self._registered[key]
        added = self.added_checks.get(key) if instance.Namespace != PLATFORM else None
        if added:
            newest = max(self.check_revisions[(*key, check_id)] for check_id in added)
            instance = msgspec.structs.replace(
                instance,
                Checks=[*instance.Checks, *added.values()],
                ModifyIndex=max(instance.ModifyIndex, newest),
            )
        self.instances[key] = instance
        self._by_service[instance.Service][key] = instance
        self._by_node[instance.Node][key] = instance
        self._by_id[instance.ID][key] = instance
        return instance

    def _drop_instance(self, key: InstanceKey) -> ServiceInstance | None:
        instance = self.instances.pop(key, None)
        self.stored_at.pop(key, None)
        self._registered.pop(key, None)
        if instance is not None:
            _discard(self._by_service, instance.Service, key)
            _discard(self._by_node, instance.Node, key)
            _discard(self._by_id, instance.ID, key)
        return instance

    def _apply_check(self, rest: list[str], event: Event) -> Iterable[Topic]:
        node, instance_id, check_id = rest
        key = (node, instance_id)
        if event.value is None:
            self.added_checks[key].pop(check_id, None)
            self.check_revisions.pop((*key, check_id), None)
            self.checks_called[check_id].discard(key)
            if not self.checks_called[check_id]:
                del self.checks_called[check_id]
            if not self.added_checks[key]:
                del self.added_checks[key]
        else:
            self.added_checks[key][check_id] = _decode(event, CheckState)
            self.checks_called[check_id].add(key)
            self.check_revisions[(*key, check_id)] = event.mod_revision
        if not instance_id:
            return self._show_node(node)
        if key not in self._registered:
            return ()
        return _instance_topics(self.instances[key], self._show_instance(key))

    def _apply_declared(self, rest: list[str], event: Event) -> Iterable[Topic]:
        key = (rest[0], rest[1], rest[2])
        before = self.declared.pop(key, None)
        if before is not None:
            _discard(self._declared_by_name, before.Service, key)
        if event.value is not None:
            after = _decode(event, DeclaredService)
            after.CreateIndex, after.ModifyIndex = event.create_revision, event.mod_revision
            self.declared[key] = after
            self._declared_by_name[after.Service][key] = after
        return (("services",), ("service", rest[2]))

    def _apply_node(self, rest: list[str], event: Event) -> Iterable[Topic]:
        name = rest[0]
        if event.value is None:
            self._registered_nodes.pop(name, None)
            self._forget_later([("node", name)], event)
        else:
            entry = _decode(event, NodeEntry)
            entry.CreateIndex, entry.ModifyIndex = event.create_revision, event.mod_revision
            entry.Checks = []  # whoever wrote the node may have copied those shown then
            self._registered_nodes[name] = entry
        return self._show_node(name)

    def _show_node(self, name: str) -> Iterable[Topic]:
        before, after = self.nodes.pop(name, None), self._registered_nodes.get(name)
        added = self.added_checks.get((name, ""))
        if after is not None and added:
            newest = max(self.check_revisions[name, "", check_id] for check_id in added)
            after = msgspec.structs.replace(
                after, Checks=list(added.values()), ModifyIndex=max(after.ModifyIndex, newest)
            )
        if after is not None:
            self.nodes[name] = after
        touched: set[Topic] = {("nodes",), ("node", name), ("instances",)}
        if _node_health(before) != _node_health(after):
            touched.add(("checks",))
        if _node_endpoint(before) != _node_endpoint(after):
            touched.add(("endpoints",))
        touched.update(("service", one.Service) for one in self._by_node.get(name, {}).values())
        return touched

    def _apply_kv(self, rest: list[str], event: Event) -> Iterable[Topic]:
        name = rest[0]
        before = self.kv.entries.get(name)
        if before is not None and before.Session:
            self.locked_by[before.Session].discard(name)
            if not self.locked_by[before.Session]:
                del self.locked_by[before.Session]
        if event.value is None:
            self.kv.remove(name)
            self._forget_later([("kv", name)], event)
        else:
            entry = _decode(event, KvEntry)
            entry.CreateIndex, entry.ModifyIndex = event.create_revision, event.mod_revision
            self.kv.put(entry)
            if entry.Session:
                self.locked_by[entry.Session].add(name)
        return self.kv.topics_of(name)

    def _apply_session(self, rest: list[str], event: Event) -> Iterable[Topic]:
        before = self.sessions.pop(rest[0], None)
        if event.value is None:
            self._forget_later([("session", rest[0])], event)
        else:
            session = _decode(event, Session)
            session.CreateIndex, session.ModifyIndex = event.create_revision, event.mod_revision
            self.sessions[rest[0]] = before = session
        return (("sessions",), ("session", rest[0]), ("node_sessions", before.Node if before else ""))

    def _apply_lock_delay(self, rest: list[str], event: Event) -> Iterable[Topic]:
        if event.value is None:
            self.lock_delays.pop(rest[0], None)
        else:
            self.lock_delays[rest[0]] = event.mod_revision
        return ()

    def _apply_pulse(self, rest: list[str], event: Event) -> Iterable[Topic]:
        if event.value is None:
            self.pulses.pop((rest[0], rest[1]), None)
        else:
            self.pulses[rest[0], rest[1]] = event.mod_revision
        return ()

    def _apply_event(self, rest: list[str], event: Event) -> Iterable[Topic]:
        if event.value is None:
            self.events.pop(rest[0], None)
        else:
            self.events[rest[0]] = fired = _decode(event, UserEvent)
            fired.LTime = event.create_revision
        return (("events",),)

    def _apply_query(self, rest: list[str], event: Event) -> Iterable[Topic]:
        if event.value is None:
            self.queries.pop(rest[0], None)
        else:
            query = _decode(event, PreparedQuery)
            query.CreateIndex, query.ModifyIndex = event.create_revision, event.mod_revision
            self.queries[rest[0]] = query
        return (("queries",),)

    def _forget_later(self, topics: Iterable[Topic], event: Event) -> None:
        """The topics of a deleted object are forgotten once many others have gone after it."""
        self._gone.extend((topic, event.mod_revision) for topic in topics)


def _decode(event: Event, as_type: type[T]) -> T:
    assert event.value is not None  # noqa: S101 - callers have checked; this tells the type checker
    return msgspec.msgpack.decode(event.value, type=as_type)


def _discard(
    table: dict[str, dict[T, ServiceInstance]] | dict[str, dict[T, DeclaredService]], name: str, key: T
) -> None:
    members = table.get(name)
    if members is not None:
        members.pop(key, None)
        if not members:
            del table[name]


def _instance_topics(before: ServiceInstance | None, after: ServiceInstance | None) -> set[Topic]:
    touched: set[Topic] = {("instances",)}
    for one in (before, after):
        if one is not None:
            touched |= {("service", one.Service), ("node", one.Node), ("instance", one.ID)}
    if before is None or after is None or before.Checks != after.Checks:
        touched.add(("checks",))
    if before is None or after is None or _registration(before) != _registration(after):
        touched |= {("services",), ("endpoints",)}
    elif before.status() != after.status():
        touched.add(("endpoints",))
    return touched


def _registration(instance: ServiceInstance) -> ServiceInstance:
    return msgspec.structs.replace(instance, Checks=[], CreateIndex=0, ModifyIndex=0)


def _node_endpoint(node: NodeEntry | None) -> tuple[object, ...] | None:
    return None if node is None else (node.Address, node.Meta, node.Status, {check.Status for check in node.Checks})


def _node_health(node: NodeEntry | None) -> tuple[str, list[CheckState]] | None:
    return None if node is None else (node.Status, node.Checks)
