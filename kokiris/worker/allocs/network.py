"""The network of an allocation: whose container holds the namespace, and at which address it is reached inside."""

from __future__ import annotations

from collections.abc import Sequence

from kokiris.infra.labels import ALLOC_LABEL, INFRA_LABEL, TASK_LABEL
from kokiris.kernel.errors import Conflict, KokirisError, NotFound
from kokiris.orchestrator.model.allocwire import Allocation, PortMapping
from kokiris.orchestrator.model.job import TaskGroup
from kokiris.orchestrator.model.resources import NetworkResource
from kokiris.worker.drivers.contract import NetworkPlan, StartFailed
from kokiris.worker.drivers.docker import container_address
from kokiris.worker.drivers.docker_config import port_bindings
from kokiris.worker.drivers.engine import Engine
from kokiris.worker.drivers.pause import PauseImage
from kokiris.worker.drivers.published_ports import PublishedPorts
from kokiris.worker.drivers.start_advice import start_advice

PAUSE_TASK = "_pause"


def ports_of(alloc: Allocation) -> list[PortMapping]:
    """As the scheduler assigned them; without an address they are published on all."""
    shared = alloc.AllocatedResources.Shared if alloc.AllocatedResources else None
    return list(shared.Ports or ()) if shared else []


def group_network(group: TaskGroup) -> NetworkResource:
    """The group's network block, or the default: host."""
    return group.Networks[0] if group.Networks else NetworkResource(Mode="host")


def static_ports(group: TaskGroup) -> set[int]:
    """The host ports a group asks for by number."""
    return {port.Value for network in group.Networks or () for port in network.ReservedPorts or ()}


def dynamic_ports(group: TaskGroup, ports: Sequence[PortMapping]) -> list[PortMapping]:
    """Those the servers chose."""
    chosen = {port.Label for network in group.Networks or () for port in network.DynamicPorts or ()}
    return [port for port in ports if port.Label in chosen]


def needs_pause(group: TaskGroup) -> bool:
    """Several tasks share one namespace; a single container has its own, which starts twice as fast."""
    docker_tasks = [task for task in group.Tasks or () if task.Driver == "docker"]
    return group_network(group).Mode == "bridge" and len(docker_tasks) > 1


def plan_of(group: TaskGroup, ports: Sequence[PortMapping], pause_container: str) -> NetworkPlan:
    """What each task's container is told."""
    network = group_network(group)
    mode = network.Mode or "host"
    if mode not in {"host", "bridge", "none"}:
        raise StartFailed(f'network mode "{mode}" is not supported', final=True, next_step="Use bridge, host or none.")
    return NetworkPlan(
        mode=mode, pause_container=pause_container, hostname=network.Hostname, dns=network.DNS, ports=tuple(ports)
    )


class PauseContainers:
    """Makes, finds again and removes the containers that hold namespaces."""

    def __init__(self, engine: Engine, infra_label: str, ports: PublishedPorts) -> None:
        self._engine = engine
        self._ports = ports
        self._infra_label = infra_label
        self._image = PauseImage(engine)

    async def ensure(self, alloc_id: str, group: TaskGroup, ports: Sequence[PortMapping]) -> tuple[str, str]:
        """(container id, its address); the one of an earlier worker if it runs. Raises StartFailed."""
        name = f"pause.{alloc_id}"
        try:
            found = await self._running(name)
            if found is None:
                found = await self._make(name, alloc_id, group, ports)
        except KokirisError as error:
            raise StartFailed(
                f"Failed to set up the group's network: {error.message}", next_step=start_advice(error.message)
            ) from error
        self._ports.hold(found)
        return str(found["Id"]), container_address(found)

    async def remove(self, container_id: str) -> None:
        """Raises Unavailable while the engine is away."""
        self._ports.release(container_id)
        await self._engine.remove(container_id)

    async def _running(self, name: str) -> dict[str, object] | None:
        try:
            found = await self._engine.inspect(name)
        except NotFound:
            return None
        if found["State"]["Running"]:
            return found
        await self._engine.remove(str(found["Id"]))
        return None

    async def _make(
        self, name: str, alloc_id: str, group: TaskGroup, ports: Sequence[PortMapping]
    ) -> dict[str, object]:
        network = group_network(group)
        bindings = port_bindings(list(ports))
        host: dict[str, object] = {
            "NetworkMode": "bridge",
            "PortBindings": bindings,
            "RestartPolicy": {"Name": "no"},
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "Memory": 16 * 1024 * 1024,
            "LogConfig": {"Type": "none"},
        }
        if network.DNS is not None:
            host.update(
                Dns=network.DNS.Servers or [],
                DnsSearch=network.DNS.Searches or [],
                DnsOptions=network.DNS.Options or [],
            )
        body = {
            "Image": await self._image.reference(),
            "Entrypoint": ["/sleep"],
            "Cmd": ["2147483647"],
            "Hostname": network.Hostname or alloc_id[:12],
            "Labels": {INFRA_LABEL: self._infra_label, ALLOC_LABEL: alloc_id, TASK_LABEL: PAUSE_TASK},
            "ExposedPorts": {port: {} for port in bindings},
            "HostConfig": host,
        }
        try:
            container_id = await self._engine.create(name, body)
        except Conflict:
            await self._engine.remove(name)
            container_id = await self._engine.create(name, body)
        await self._engine.start(container_id)
        return await self._engine.inspect(container_id)
