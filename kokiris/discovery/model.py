"""What the catalog stores, and under which keys (`/<client>/<infra>/discovery/…`).

The orchestrator writes instances itself, in the very commit that changes an allocation: an instance is there when its
allocation runs, healthy when its checks pass, gone when the allocation is to stop. No agent syncs anything later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from kokiris.kernel.keys import key, prefix

NAMESPACE_META = "kokiris-namespace"
"""Key of an instance's Meta as the API shows it: the platform's own namespace, for its instances; no other has it."""

_OF_JOB = "_nomad-task-"
_UUID_LENGTH = 36

PASSING, WARNING, CRITICAL = "passing", "warning", "critical"


class CheckState(msgspec.Struct, kw_only=True):
    """The newest result of a check, as the catalog shows it."""

    CheckID: str
    Name: str = ""
    Status: str = CRITICAL
    Output: str = ""
    Type: str = ""
    Notes: str = ""
    Interval: str = ""
    Timeout: str = ""
    Definition: dict[str, str] | None = None
    """What is run, of a check registered through the agent's API (kokiris.discovery.definitions); None: not ours."""


class ServiceInstance(msgspec.Struct, kw_only=True):
    """One instance of a service at one address."""

    ID: str
    Service: str
    Tags: list[str] = msgspec.field(default_factory=list)
    Address: str = ""
    """Empty: the node's address."""
    Port: int = 0
    Meta: dict[str, str] = msgspec.field(default_factory=dict)
    TaggedAddresses: dict[str, dict[str, str | int]] = msgspec.field(default_factory=dict)
    Weights: dict[str, int] = msgspec.field(default_factory=lambda: {"Passing": 1, "Warning": 1})
    EnableTagOverride: bool = False
    Kind: str = ""
    Node: str = ""
    """Name of the node it is registered on."""
    Checks: list[CheckState] = msgspec.field(default_factory=list)
    Provider: str = "consul"
    """consul or nomad: through which native API it was asked for. Both are in the catalog."""
    Namespace: str = ""
    JobID: str = ""
    AllocID: str = ""
    """Empty when registered through the API instead of by a job."""
    NodeID: str = ""
    JobVersion: int = 0
    CreateIndex: int = 0
    ModifyIndex: int = 0

    def status(self) -> str:
        """The worst status of its checks; passing without any."""
        statuses = {check.Status for check in self.Checks}
        return next((status for status in (CRITICAL, WARNING) if status in statuses), PASSING)


class DeclaredService(msgspec.Struct, kw_only=True):
    """A service that a job wants, whether or not an instance runs: its routes answer 503 rather than 404."""

    Service: str
    Tags: list[str] = msgspec.field(default_factory=list)
    Namespace: str = "default"
    JobID: str = ""
    JobVersion: int = 0
    CreateIndex: int = 0
    ModifyIndex: int = 0


class NodeEntry(msgspec.Struct, kw_only=True):
    """A node of the catalog. `Status` is that of its "serfHealth" check."""

    Node: str
    ID: str = ""
    Address: str = ""
    Datacenter: str = "dc1"
    Meta: dict[str, str] = msgspec.field(default_factory=dict)
    TaggedAddresses: dict[str, str] = msgspec.field(default_factory=dict)
    Status: str = PASSING
    Checks: list[CheckState] = msgspec.field(default_factory=list)
    """Filled in by the catalog: node checks registered through the API have keys of their own."""
    CreateIndex: int = 0
    ModifyIndex: int = 0


class KvEntry(msgspec.Struct, kw_only=True):
    """A key/value pair. `Value` is raw here, base64 on the wire."""

    Key: str
    Value: bytes = b""
    Flags: int = 0
    LockIndex: int = 0
    Session: str = ""
    CreateIndex: int = 0
    ModifyIndex: int = 0


class Session(msgspec.Struct, kw_only=True):
    """A lock holder. Durations in ns."""

    ID: str
    Name: str = ""
    Node: str = ""
    Behavior: str = "release"
    TTL: str = ""
    LockDelay: int = 15_000_000_000
    NodeChecks: list[str] = msgspec.field(default_factory=lambda: ["serfHealth"])
    ServiceChecks: list[dict[str, str]] | None = None
    CreateIndex: int = 0
    ModifyIndex: int = 0


class UserEvent(msgspec.Struct, kw_only=True):
    """A custom event. `LTime` orders all events of the infra; `Payload` is raw here, base64 on the wire."""

    ID: str
    Name: str
    Payload: bytes = b""
    NodeFilter: str = ""
    ServiceFilter: str = ""
    TagFilter: str = ""
    LTime: int = 0


class PreparedQuery(msgspec.Struct, kw_only=True):
    """A named query, run by name or id. `Definition` is the body it was created with."""

    ID: str
    Name: str = ""
    Definition: dict[str, Any] = msgspec.field(default_factory=dict)
    CreateIndex: int = 0
    ModifyIndex: int = 0


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of every stored object of discovery."""

    client: str
    infra: str

    @property
    def root(self) -> bytes:
        return prefix(self.client, self.infra, "discovery")

    def _key(self, *parts: str) -> bytes:
        return key(self.client, self.infra, "discovery", *parts)

    def instance(self, instance_id: str) -> bytes:
        """`ServiceInstance`."""
        return self._key("instance", instance_id)

    def node_instance(self, node: str, instance_id: str) -> bytes:
        """`ServiceInstance` registered through the API: its id is unique on its node only."""
        return self._key("instance", node, instance_id)

    def declared(self, namespace: str, job_id: str, service: str) -> bytes:
        """`DeclaredService`."""
        return self._key("declared", namespace, job_id, service)

    def node(self, name: str) -> bytes:
        """`NodeEntry`."""
        return self._key("node", name)

    def kv(self, name: str) -> bytes:
        """`KvEntry`; the whole name is one part."""
        return self._key("kv", name)

    def session(self, session_id: str) -> bytes:
        """`Session`."""
        return self._key("session", session_id)

    def lock_delay(self, name: str) -> bytes:
        """Present (with a lease of the session's LockDelay) while the kv key `name` may not be locked again."""
        return self._key("lock_delay", name)

    def pulse(self, kind: str, of: str) -> bytes:
        """Written at each sign of life: of a "session" (its id) or a TTL "check" (node/instance/check). Only its
        revision means something."""
        return self._key("pulse", kind, of)

    def check(self, node: str, instance_id: str, check_id: str) -> bytes:
        """`CheckState` added through the API to an instance, or to the node (`instance_id` ""): whoever writes the
        instance or node again (the orchestrator) does not lose it."""
        return self._key("check", node, instance_id, check_id)

    def event(self, event_id: str) -> bytes:
        """`UserEvent`."""
        return self._key("event", event_id)

    def query(self, query_id: str) -> bytes:
        """`PreparedQuery`."""
        return self._key("query", query_id)


def instance_id(alloc_id: str, owner: str, service: str, port_label: str) -> str:
    """The id of a job's service instance, in Nomad's form. `owner` is "group-<group>" or the task's name."""
    return f"{_OF_JOB}{alloc_id}-{owner}-{service}-{port_label}"


def alloc_of_instance(ident: str) -> str:
    """The allocation id in a job's instance id; "" in one that was registered through the API."""
    return ident[len(_OF_JOB) :][:_UUID_LENGTH] if ident.startswith(_OF_JOB) else ""


def check_id(of_instance: str, check_name: str) -> str:
    """The id of a check of a job's service instance: stable over restarts."""
    return f"{of_instance}:{check_name}"
