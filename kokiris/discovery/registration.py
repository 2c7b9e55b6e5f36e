"""Services, checks and nodes registered through the API. Pure: catalog and request in, `Change` out."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kokiris.discovery.catalog import Catalog, CheckKey
from kokiris.discovery.model import CRITICAL, CheckState, Keys, NodeEntry, ServiceInstance
from kokiris.discovery.writer import Change
from kokiris.kernel.errors import Conflict, NotFound
from kokiris.kernel.names import PLATFORM

NODE_MAINTENANCE = "_node_maintenance"
SERVICE_MAINTENANCE = "_service_maintenance:"
DEFAULT_REASON = {
    "": "Maintenance mode is enabled for this node, but no reason was provided. This is a default message.",
    "service": "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.",
}


def pulse_name(check: CheckKey) -> str:
    """What a TTL check's signs of life are kept under."""
    return "/".join(check)


def ensure_node(catalog: Catalog, keys: Keys, change: Change[None], entry: NodeEntry) -> None:
    """Writes the node unless it is known."""
    if entry.Node not in catalog.nodes:
        change.require(keys.node(entry.Node), 0)
        change.put(keys.node(entry.Node), entry)


def put_node(catalog: Catalog, keys: Keys, change: Change[None], entry: NodeEntry) -> None:
    """Registers or changes a node from outside; its status, which is not ours to say, is kept."""
    known = catalog.nodes.get(entry.Node)
    if known is None:
        ensure_node(catalog, keys, change, entry)
        return
    merged = msgspec.structs.replace(
        known,
        Address=entry.Address or known.Address,
        ID=entry.ID or known.ID,
        Meta=entry.Meta or known.Meta,
        TaggedAddresses=entry.TaggedAddresses or known.TaggedAddresses,
    )
    if merged != known:
        change.require(keys.node(entry.Node), catalog.stored_revision(entry.Node))  # its status may just be changing
        change.put(keys.node(entry.Node), msgspec.structs.replace(merged, Checks=[]))


def put_instance(
    catalog: Catalog,
    keys: Keys,
    change: Change[None],
    instance: ServiceInstance,
    checks: list[CheckState],
    *,
    replace_checks: bool = False,
) -> None:
    """Registers an instance on its node, with checks; a check that stays as it is defined keeps its result.

    Raises Conflict when the id belongs to a job's instance: that is for its job to change.
    """
    key = (instance.Node, instance.ID)
    known = catalog.instances.get(key)
    refuse_of_job(known)
    stored = keys.node_instance(*key)
    if known is None or _plain(known) != _plain(instance):
        change.put(stored, _plain(instance))
    old = catalog.added_checks.get(key, {})
    for check in checks:
        put_check(catalog, keys, change, (*key, check.CheckID), check)
    if replace_checks:
        drop_checks(keys, change, [(*key, check_id) for check_id in old.keys() - {check.CheckID for check in checks}])


def refuse_of_job(instance: ServiceInstance | None) -> None:
    """Raises Conflict for an instance that a job registered."""
    if instance is not None and instance.AllocID:
        raise Conflict(
            f'service ID "{instance.ID}" belongs to job "{instance.JobID}"',
            next_step="Change or stop the job instead.",
        )


def refuse_check_of_platform(catalog: Catalog, at: CheckKey) -> None:
    """Raises Conflict for a check on an instance of the platform's own: it could take it out of service."""
    instance = catalog.instances.get(at[:2])
    if instance is not None and instance.Namespace == PLATFORM:
        raise Conflict(
            f'service ID "{instance.ID}" belongs to the platform', next_step="Its health is checked by its own job."
        )


def _plain(instance: ServiceInstance) -> ServiceInstance:
    return msgspec.structs.replace(instance, Checks=[], CreateIndex=0, ModifyIndex=0)


def put_check(catalog: Catalog, keys: Keys, change: Change[None], at: CheckKey, check: CheckState) -> None:
    """Adds or redefines a check. Its last result stays, unless the definition says otherwise. Raises Conflict."""
    refuse_check_of_platform(catalog, at)
    known = catalog.added_checks.get(at[:2], {}).get(at[2])
    if known is not None and known.Definition == check.Definition and check.Status == CRITICAL:
        check = msgspec.structs.replace(check, Status=known.Status, Output=known.Output)
    if known != check:
        change.put(keys.check(*at), check)
    if check.Type == "ttl":
        change.puts[keys.pulse("check", pulse_name(at))] = b""


def drop_checks(keys: Keys, change: Change[None], checks: Iterable[CheckKey]) -> None:
    for at in checks:
        change.deletes += [keys.check(*at), keys.pulse("check", pulse_name(at))]


def drop_instance(catalog: Catalog, keys: Keys, change: Change[None], node: str, instance_id: str) -> None:
    """Deregisters an instance with its checks. One that is not there is no change. Raises Conflict for a job's."""
    key = (node, instance_id)
    refuse_of_job(catalog.instances.get(key))
    if key in catalog.stored_at:
        change.deletes.append(catalog.stored_at[key])
    drop_checks(keys, change, [(*key, check_id) for check_id in catalog.added_checks.get(key, ())])


def drop_node(catalog: Catalog, keys: Keys, change: Change[None], node: str) -> None:
    """Deregisters a node with all that was registered on it through the API. Raises Conflict while a job runs there."""
    for instance in catalog.instances_on(node):
        drop_instance(catalog, keys, change, node, instance.ID)
    drop_checks(keys, change, [(node, "", check_id) for check_id in catalog.added_checks.get((node, ""), ())])
    if node in catalog.nodes:
        change.deletes.append(keys.node(node))


def own_instance(catalog: Catalog, node: str, instance_id: str) -> ServiceInstance:
    """What the agent of `node` means by a service id: its own, else the only one anywhere. Raises NotFound."""
    own = catalog.instances.get((node, instance_id))
    if own is not None:
        return own
    found = catalog.instances_called(instance_id)
    if not found:
        raise NotFound(
            f'Unknown service ID "{instance_id}". Ensure that the service ID is passed, not the service name.'
        )
    return found[0]


def find_check(catalog: Catalog, node: str, check_id: str) -> CheckKey | None:
    """Where a check added through the API is: on the node itself, its instances, or anywhere."""
    candidates = catalog.checks_called.get(check_id, ())
    best = min(candidates, key=lambda key: (key[0] != node, key[1] != "", key), default=None)
    return None if best is None else (*best, check_id)


def set_check(catalog: Catalog, keys: Keys, at: CheckKey, status: str, output: str) -> Change[None]:
    """A result. The same result again is only a sign of life and wakes nobody."""
    known = catalog.added_checks.get(at[:2], {}).get(at[2])
    change = Change(None)
    if known is None:
        return change
    if (known.Status, known.Output) != (status, output):
        change.require(keys.check(*at), catalog.check_revisions[at])
        change.put(keys.check(*at), msgspec.structs.replace(known, Status=status, Output=output))
    if known.Type == "ttl":
        change.puts[keys.pulse("check", pulse_name(at))] = b""
    return change


def expire_check(catalog: Catalog, keys: Keys, at: CheckKey) -> Change[None]:
    """A TTL check whose time is up becomes critical, unless a sign of life comes first."""
    known = catalog.added_checks.get(at[:2], {}).get(at[2])
    change = Change(None)
    if known is not None and known.Status != CRITICAL:
        pulse = ("check", pulse_name(at))
        change.require(keys.pulse(*pulse), catalog.pulses.get(pulse, 0))
        change.require(keys.check(*at), catalog.check_revisions[at])
        output = f"TTL expired (last output before timeout follows): {known.Output}"
        change.put(keys.check(*at), msgspec.structs.replace(known, Status=CRITICAL, Output=output))
    return change


def maintenance_check(instance: ServiceInstance | None, reason: str) -> CheckState:
    """The critical check that keeps requests away from an instance, or from a node (None)."""
    if instance is None:
        return CheckState(
            CheckID=NODE_MAINTENANCE,
            Name="Node Maintenance Mode",
            Status=CRITICAL,
            Notes=reason or DEFAULT_REASON[""],
            Type="maintenance",
        )
    return CheckState(
        CheckID=SERVICE_MAINTENANCE + instance.ID,
        Name="Service Maintenance Mode",
        Status=CRITICAL,
        Notes=reason or DEFAULT_REASON["service"],
        Type="maintenance",
    )
