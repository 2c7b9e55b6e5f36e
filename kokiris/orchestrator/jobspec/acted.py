"""What this version acts on, and what it refuses by name, as data: `unsupported` and docs/compatibility.md use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.resources import NetworkResource, Port, VolumeMount, VolumeRequest
from kokiris.orchestrator.model.service import Service, ServiceCheck
from kokiris.orchestrator.model.task import Task, Template


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that parses and is refused at plan time. `found` tells whether the object has it."""

    what: str
    found: Callable[[Any], bool]
    note: str = ""


ACTED_DRIVERS = ("docker", "raw_exec")
ACTED_TYPES = ("service", "batch", "system")
ACTED_CHECKS = ("http", "tcp")
ACTED_CHANGE_MODES = ("noop", "restart", "signal")
ACTED_NETWORKS = ("host", "bridge", "none")

ACTED: dict[str, tuple[tuple[str, str], ...]] = {
    "job": (
        ("type", "service, batch, system"),
        ("datacenters, node_pool, priority, namespace", "globs in datacenters"),
        ("constraint, affinity, spread", "all operators, distinct_hosts and distinct_property included"),
        ("update, migrate, reschedule", "inherited by the groups"),
        ("meta, ui", ""),
    ),
    "group": (
        ("count", ""),
        (
            "network",
            "mode host, bridge, none; static and dynamic ports (a dynamic one taken by others leads to another); dns; "
            "hostname",
        ),
        ("service", "see service"),
        ("constraint, affinity, spread", ""),
        ("update", "max_parallel, health_check, deadlines, canary, auto_promote, auto_revert"),
        ("migrate, reschedule, restart", "restart modes fail and delay"),
        ("ephemeral_disk", "size, for placement"),
        ("volume", "type host: each folder below `volumes` in a node's data folder is a host volume of its name"),
        ("scaling", "min and max bound `job scale`; there is no autoscaler"),
        ("shutdown_delay, meta", ""),
    ),
    "task": (
        ("driver", 'docker; raw_exec in the namespace "platform"'),
        ("config", "see below"),
        ("env, meta, user", ""),
        ("resources", "cpu, memory, memory_max; disk is ignored with a warning, as Nomad ignores it"),
        ("constraint, affinity", ""),
        ("template", "data and source, env, change_mode noop, restart, signal"),
        ("lifecycle", "prestart, poststart, poststop, sidecar"),
        ("leader, kill_signal, kill_timeout, shutdown_delay", ""),
        ("restart", "merged over the group's"),
        ("service", "see service"),
        ("volume_mount", "of the group's host volumes"),
        ("logs", "max_files, max_file_size"),
    ),
    "service": (
        ("name, port, tags, meta, canary_tags, canary_meta", "${JOB} ${TASKGROUP} ${TASK} ${BASE} in the name"),
        ("provider", "consul and nomad: one catalog serves both"),
        ("address_mode", "auto, host, alloc, driver"),
        ("check", "http and tcp: path, method, header, body, protocol, port, interval, timeout, thresholds"),
        ("check_restart", "limit, grace, ignore_warnings"),
    ),
}

JOB: tuple[Refused, ...] = (
    Refused("block periodic", lambda job: job.Periodic is not None, "let cron or a pipeline run the job"),
    Refused(
        "block parameterized", lambda job: job.ParameterizedJob is not None, "give values with -var and run the job"
    ),
    Refused("block multiregion", lambda job: job.Multiregion is not None),
    Refused("type sysbatch", lambda job: job.Type == "sysbatch", "system and batch are"),
    Refused("argument all_at_once", lambda job: job.AllAtOnce),
    Refused("argument region", lambda job: job.Region != "global", "an infra is one region, global"),
    Refused("argument consul_namespace", lambda job: bool(job.ConsulNamespace)),
    Refused("argument vault_namespace", lambda job: bool(job.VaultNamespace)),
)
GROUP: tuple[Refused, ...] = (
    Refused("block disconnect", lambda group: group.Disconnect is not None),
    Refused("argument max_run_duration", lambda group: group.MaxRunDuration != 0),
    Refused("argument stop_after_client_disconnect", lambda group: group.StopAfterClientDisconnect != 0),
    Refused("argument max_client_disconnect", lambda group: group.MaxClientDisconnect != 0),
    Refused("argument prevent_reschedule_on_lost", lambda group: group.PreventRescheduleOnLost),
    Refused("block consul", lambda group: bool(group.Consul)),
    Refused("argument ephemeral_disk.sticky", lambda group: bool(group.EphemeralDisk and group.EphemeralDisk.Sticky)),
    Refused("argument ephemeral_disk.migrate", lambda group: bool(group.EphemeralDisk and group.EphemeralDisk.Migrate)),
    Refused(
        "argument restart.render_templates",
        lambda group: bool(group.RestartPolicy and group.RestartPolicy.RenderTemplates),
    ),
)
NETWORK: tuple[Refused, ...] = (
    Refused(
        "network mode other than host, bridge, none",
        lambda network: network.Mode not in ACTED_NETWORKS,
        "host, bridge and none are",
    ),
    Refused("block network.cni", lambda network: bool(network.CNI)),
    Refused("argument network.device", lambda network: bool(network.Device)),
    Refused("argument network.cidr", lambda network: bool(network.CIDR)),
    Refused("argument network.ip", lambda network: bool(network.IP)),
)
PORT: tuple[Refused, ...] = (
    Refused("argument port.host_network", lambda port: port.HostNetwork not in {"", "default"}),
    Refused("argument port.ignore_collision", lambda port: port.IgnoreCollision),
)
VOLUME: tuple[Refused, ...] = (
    Refused("volume type csi", lambda volume: volume.Type == "csi", "host volumes are"),
    Refused("argument volume.sticky", lambda volume: volume.Sticky),
    Refused("argument volume.per_alloc", lambda volume: volume.PerAlloc),
    Refused("block volume.mount_options", lambda volume: bool(volume.MountOptions)),
)
TASK: tuple[Refused, ...] = (
    Refused(
        "driver other than docker, raw_exec",
        lambda task: task.Driver not in (*ACTED_DRIVERS, ""),
        "docker is",
    ),
    Refused(
        "block artifact", lambda task: bool(task.Artifacts), "put the files into the image, or write them with template"
    ),
    Refused("block vault", lambda task: task.Vault is not None, "keep secrets in variables: `kokiris var put`"),
    Refused("block consul", lambda task: bool(task.Consul)),
    Refused("block secret", lambda task: bool(task.Secrets)),
    Refused(
        "block identity",
        lambda task: bool(task.Identities) or (task.Identity is not None and (task.Identity.Env or task.Identity.File)),
        "tasks get no token of the infra; the default identity without env and file is accepted",
    ),
    Refused("block action", lambda task: bool(task.Actions)),
    Refused("block schedule", lambda task: task.Schedule is not None),
    Refused("block dispatch_payload", lambda task: task.DispatchPayload is not None),
    Refused("block csi_plugin", lambda task: bool(task.CSIPluginConfig)),
    Refused("block scaling", lambda task: bool(task.ScalingPolicies), "of a task: vertical scaling"),
    Refused("argument kind", lambda task: bool(task.Kind)),
    Refused("argument resources.cores", lambda task: bool(task.Resources and task.Resources.Cores)),
    Refused("argument resources.secrets", lambda task: bool(task.Resources and task.Resources.SecretsMB)),
    Refused("block resources.device", lambda task: bool(task.Resources and task.Resources.Devices)),
    Refused("block resources.numa", lambda task: bool(task.Resources and task.Resources.NUMA)),
    Refused(
        "block resources.network",
        lambda task: bool(task.Resources and task.Resources.Networks),
        "write network with its ports in the group",
    ),
    Refused("argument logs.disabled", lambda task: bool(task.LogConfig and task.LogConfig.Disabled)),
    Refused(
        "argument restart.render_templates",
        lambda task: bool(task.RestartPolicy and task.RestartPolicy.RenderTemplates),
    ),
)
TEMPLATE: tuple[Refused, ...] = (
    Refused(
        "template change_mode script",
        lambda template: template.ChangeMode == "script",
        "noop, restart and signal are",
    ),
    Refused("block template.wait", lambda template: template.Wait is not None),
)
VOLUME_MOUNT: tuple[Refused, ...] = (
    Refused("argument volume_mount.selinux_label", lambda mount: bool(mount.SELinuxLabel)),
)
SERVICE: tuple[Refused, ...] = (
    Refused(
        "block connect",
        lambda service: bool(service.Connect),
        "there is no service mesh; find services by DNS or template",
    ),
    Refused("block weights", lambda service: bool(service.Weights)),
    Refused("block identity", lambda service: service.Identity is not None),
    Refused("block tagged_addresses", lambda service: bool(service.TaggedAddresses)),
    Refused("argument enable_tag_override", lambda service: service.EnableTagOverride),
    Refused("argument kind", lambda service: bool(service.Kind)),
    Refused("argument cluster", lambda service: service.Cluster not in {"", "default"}),
    Refused("address_mode alloc_ipv6", lambda service: service.AddressMode == "alloc_ipv6"),
)
CHECK: tuple[Refused, ...] = (
    Refused("check type script", lambda check: check.Type == "script", "http and tcp are"),
    Refused("check type grpc", lambda check: check.Type == "grpc", "http and tcp are"),
    Refused("argument check.expose", lambda check: check.Expose),
    Refused("argument check.advertise", lambda check: bool(check.Advertise)),
    Refused("address_mode alloc_ipv6", lambda check: check.AddressMode == "alloc_ipv6"),
)

REFUSED: dict[type[Any], tuple[Refused, ...]] = {
    Job: JOB,
    TaskGroup: GROUP,
    NetworkResource: NETWORK,
    Port: PORT,
    VolumeRequest: VOLUME,
    Task: TASK,
    Template: TEMPLATE,
    VolumeMount: VOLUME_MOUNT,
    Service: SERVICE,
    ServiceCheck: CHECK,
}
"""By the object that is looked at."""
