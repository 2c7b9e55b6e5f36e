"""`/v1/services` and `/v1/service/:name`: services of provider "nomad", read from the one catalog."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from kokiris.discovery.model import CRITICAL, ServiceInstance
from kokiris.kernel.errors import BadInput, NotSupported
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.listing import by_id, page
from kokiris.orchestrator.api.responses import (
    ServiceRegistration,
    ServiceRegistrationListStub,
    ServiceRegistrationStub,
)


def registration(call: Call, instance: ServiceInstance) -> ServiceRegistration:
    """A catalog instance in Nomad's form."""
    node = call.state.nodes.get(instance.NodeID)
    return ServiceRegistration(
        ID=instance.ID,
        ServiceName=instance.Service,
        Namespace=instance.Namespace or "default",
        NodeID=instance.NodeID,
        Datacenter=node.Datacenter if node else call.context.identity.datacenter,
        JobID=instance.JobID,
        AllocID=instance.AllocID,
        Tags=instance.Tags,
        Address=call.context.catalog.address_of(instance),
        Port=instance.Port,
        CreateIndex=instance.CreateIndex,
        ModifyIndex=instance.ModifyIndex,
    )


def _native(call: Call, instances: Iterable[ServiceInstance]) -> Iterable[ServiceInstance]:
    for instance in instances:
        if instance.Provider == "nomad" and call.sees(instance.Namespace or "default"):
            yield instance


async def list_services(call: Call) -> list[ServiceRegistrationListStub]:
    """GET /v1/services: names and tags per namespace."""
    await call.block(("services",), of=call.context.catalog.topics)
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for instance in _native(call, call.context.catalog.all_instances()):
        found[instance.Namespace or "default"][instance.Service].update(instance.Tags)
    return [
        ServiceRegistrationListStub(
            Namespace=namespace,
            Services=[
                ServiceRegistrationStub(ServiceName=name, Tags=sorted(tags)) for name, tags in sorted(services.items())
            ],
        )
        for namespace, services in sorted(found.items())
    ]


async def read_service(call: Call) -> list[ServiceRegistration]:
    """GET /v1/service/:name; `choose=<n>|<key>` picks n instances that stay the same for that key.

    Instances whose checks fail are left out: whoever reads this list sends traffic to what is in it.
    """
    name, catalog = call.params["name"], call.context.catalog
    await call.block(("service", name), of=catalog.topics)
    healthy = [one for one in _native(call, catalog.instances_of(name)) if catalog.status_of(one) != CRITICAL]
    found = [registration(call, one) for one in healthy]
    choose = call.query("choose")
    if choose:
        found = _chosen(found, choose)
    return page(call, found, by_id)


def _chosen(found: list[ServiceRegistration], choose: str) -> list[ServiceRegistration]:
    """Rendezvous hashing: each instance keeps its rank for a key while others come and go."""
    count, bar, key = choose.partition("|")
    if not bar or not key or not count.isdecimal() or not count.isascii() or len(count) > 9:
        raise BadInput("failed to parse choose parameter", next_step='Write it as "<number>|<key>".')
    ranked = sorted(found, key=lambda one: hashlib.sha256(f"{key}|{one.ID}".encode()).digest())
    return ranked[: int(count)]


async def delete_service(call: Call) -> None:
    """DELETE /v1/service/:name/:id: an instance belongs to its allocation, and goes with it."""
    raise NotSupported(
        f'service instance "{call.params["instance_id"]}" belongs to its allocation and is not deleted by hand',
        next_step="Stop the allocation; its instances leave the catalog in the same step.",
    )
