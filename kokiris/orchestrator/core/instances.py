"""Catalog changes that belong to a change of the orchestrator: drafted into the very same commit."""

from __future__ import annotations

import logging

from kokiris.discovery.model import CRITICAL, PASSING, NodeEntry, ServiceInstance
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.registrations import (
    declared_of,
    instance_ids,
    instances_of,
    node_address,
    same_but_output,
)
from kokiris.orchestrator.model.alloc import Alloc, AllocClient
from kokiris.orchestrator.model.job import Job
from kokiris.orchestrator.model.node import Node

log = logging.getLogger(__name__)


def draft_instances(context: Context, draft: Draft, alloc: Alloc, client: AllocClient | None, node: Node) -> None:
    """Makes the catalog show `alloc` as it is with `client` on `node`: puts what differs, deletes what is over.

    Conditional on the allocation's desired part and its node: a stop or a loss decided meanwhile elsewhere wins.
    """
    job = context.state.job_of(alloc)
    if job is None:
        return
    shown = shown_instances(context, alloc, job)
    wanted = {instance.ID: instance for instance in instances_of(alloc, client, job, node)}
    for ident, instance in wanted.items():
        if ident not in shown or not _same(shown[ident], instance):
            draft.put(context.catalog_keys.instance(ident), instance)
            draft.expect(context.keys.alloc_desired(alloc.ID), alloc.DesiredIndex)
            draft.expect(context.keys.node(node.ID), node.ModifyIndex)
    for ident in shown.keys() - wanted.keys():
        draft.expect(context.catalog_keys.instance(ident), shown[ident].ModifyIndex)
        draft.delete(context.catalog_keys.instance(ident))


def draft_instances_safely(
    context: Context, draft: Draft, alloc: Alloc, client: AllocClient | None, node: Node
) -> None:
    """As `draft_instances`, but a job whose services defeat us does not keep others from being registered."""
    own = Draft()
    try:
        draft_instances(context, own, alloc, client, node)
    except Exception:
        log.exception("services of allocation %s of job %s cannot be registered", alloc.ID, alloc.JobID)
        return
    draft.absorb(own)


def _same(one: ServiceInstance, other: ServiceInstance) -> bool:
    return same_but_output(one, other) and [check.Output for check in one.Checks] == [
        check.Output for check in other.Checks
    ]


def shown_instances(context: Context, alloc: Alloc, job: Job) -> dict[str, ServiceInstance]:
    """The instances of `alloc` that the catalog has now, by id."""
    found = (one for ident in instance_ids(alloc, job) for one in context.catalog.instances_called(ident))
    return {one.ID: one for one in found if one.AllocID == alloc.ID}


def draft_withdrawal(context: Context, draft: Draft, alloc: Alloc) -> None:
    """Takes every instance `alloc` has, or is just about to get from another server, out of the catalog."""
    job = context.state.job_of(alloc)
    if job is None:
        return
    for ident in instance_ids(alloc, job) if not alloc.client_terminal() else shown_instances(context, alloc, job):
        draft.delete(context.catalog_keys.instance(ident))


def draft_declared(context: Context, draft: Draft, job: Job, before: Job | None) -> None:
    """Makes the catalog's declared services those of `job`; `before` is the version it replaces."""
    wanted = {one.Service: one for one in declared_of(job)}
    for name, one in wanted.items():
        draft.put(context.catalog_keys.declared(job.Namespace, job.ID, name), one)
    for old in declared_of(before) if before is not None else ():
        if old.Service not in wanted:
            draft.delete(context.catalog_keys.declared(job.Namespace, job.ID, old.Service))


def draft_nothing_declared(context: Context, draft: Draft, job: Job) -> None:
    """The job is purged: it declares nothing any more."""
    for old in declared_of(job):
        draft.delete(context.catalog_keys.declared(job.Namespace, job.ID, old.Service))


def draft_node_entry(context: Context, draft: Draft, node: Node) -> None:
    """The catalog's entry of a node: critical while it is down. Checks registered through the API stay."""
    before = context.catalog.nodes.get(node.Name)
    address = node_address(node)
    entry = NodeEntry(
        Node=node.Name,
        ID=node.ID,
        Address=address,
        Datacenter=node.Datacenter,
        Meta=node.Meta or {},
        TaggedAddresses={"lan": address, "lan_ipv4": address, "wan": address, "wan_ipv4": address},
        Status=PASSING if node.Status == "ready" else CRITICAL,
        Checks=before.Checks if before is not None else [],
    )
    if before is not None:
        entry.CreateIndex, entry.ModifyIndex = before.CreateIndex, before.ModifyIndex
    if entry != before:
        entry.CreateIndex = entry.ModifyIndex = 0
        draft.put(context.catalog_keys.node(node.Name), entry)
