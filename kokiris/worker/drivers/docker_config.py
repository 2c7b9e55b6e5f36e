"""A task's docker `config` block, made into the body of "create container". Pure, but for folders of relative binds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kokiris.orchestrator.model.allocwire import PortMapping
from kokiris.worker.drivers.config_values import (
    boolean,
    integer,
    merged_map,
    size_bytes,
    string_map,
    strings,
    text,
)
from kokiris.worker.drivers.contract import Mount, StartFailed, TaskSetup
from kokiris.worker.drivers.host_access import mounts_of, refuse_host_access

MEBIBYTE = 1024 * 1024
DEFAULT_PERIOD_US = 100_000
MIN_QUOTA_US = 1_000
MIN_SHARES = 2


def container_name(alloc_id: str, task: str) -> str:
    """As Nomad's: one name per task of an allocation, so that the engine itself refuses a double."""
    allowed = re.sub(r"[^a-zA-Z0-9_.-]", "_", task)
    return f"{allowed if allowed[:1].isalnum() else f'x{allowed}'}-{alloc_id}"


def create_body(setup: TaskSetup, labels: Mapping[str, str]) -> dict[str, Any]:
    """The request. Raises StartFailed (final) naming the key whose value cannot be used."""
    config = setup.config
    refuse_host_access(config, setup.namespace)
    body: dict[str, Any] = {
        "Image": text(config, "image"),
        "Env": [f"{name}={value}" for name, value in sorted(setup.env.items())],
        "Labels": {**string_map(config, "labels"), **labels},
        "HostConfig": host_config(setup),
        "Tty": boolean(config, "tty"),
        "OpenStdin": boolean(config, "interactive"),
    }
    command, args = text(config, "command"), strings(config, "args")
    if command or args:
        body["Cmd"] = [*([command] if command else []), *args]
    entrypoint = config.get("entrypoint")
    if entrypoint is not None:
        body["Entrypoint"] = [entrypoint] if isinstance(entrypoint, str) else strings(config, "entrypoint")
    for key, field in (("work_dir", "WorkingDir"), ("mac_address", "MacAddress")):
        if text(config, key):
            body[field] = text(config, key)
    if setup.user:
        body["User"] = setup.user
    if boolean(merged_map(config, "healthchecks"), "disable"):
        body["Healthcheck"] = {"Test": ["NONE"]}
    mode = network_mode(setup)
    if not mode.startswith("container:") and mode != "host":
        body["Hostname"] = text(config, "hostname") or setup.network.hostname or setup.alloc_id[:12]
    published = published_ports(setup)
    if published:
        body["ExposedPorts"] = {port: {} for port in port_bindings(published)}
    endpoint = _endpoint(setup)
    if endpoint:
        body["NetworkingConfig"] = {"EndpointsConfig": {mode: endpoint}}
    return body


def host_config(setup: TaskSetup) -> dict[str, Any]:
    """Limits, mounts, network, rights."""
    config = setup.config
    mode = network_mode(setup)
    host: dict[str, Any] = {
        "NetworkMode": mode,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": _log_config(config),
        "Binds": [_bind(mount) for mount in setup.mounts] + _volumes(setup),
        "Mounts": [_mount(setup, mount) for mount in mounts_of(config)],
        **_cpu(setup),
        **_memory(setup),
        **_rights(config),
        **_namespaces(config),
    }
    published = published_ports(setup)
    if published:
        host["PortBindings"] = port_bindings(published)
    if not mode.startswith("container:"):
        host.update(resolver(setup))
    if text(config, "runtime"):
        host["Runtime"] = text(config, "runtime")
    if text(config, "volume_driver"):
        host["VolumeDriver"] = text(config, "volume_driver")
    if "shm_size" in config:
        host["ShmSize"] = integer(config, "shm_size")
    if "storage_opt" in config:
        host["StorageOpt"] = string_map(config, "storage_opt")
    return host


def network_mode(setup: TaskSetup) -> str:
    """The engine's network mode: a joined pause container, the task's own choice, or the group's."""
    if setup.network.pause_container:
        return f"container:{setup.network.pause_container}"
    own = text(setup.config, "network_mode")
    if own:
        return own
    return "none" if setup.network.mode == "none" else "bridge"


def publishes_all(setup: TaskSetup) -> bool:
    """A bridge group's ports are the network's; a host group's are published only where `ports` names them."""
    return setup.network.mode == "bridge"


def published_ports(setup: TaskSetup) -> list[PortMapping]:
    """The ports this very container publishes. Raises StartFailed for an unknown label in `ports`."""
    if network_mode(setup) in {"host", "none"} or setup.network.pause_container:
        return []
    if publishes_all(setup):
        return list(setup.network.ports)
    by_label = {port.Label: port for port in setup.network.ports}
    chosen: list[PortMapping] = []
    for label in strings(setup.config, "ports"):
        if label not in by_label:
            raise StartFailed(
                f'task "{setup.task}": config.ports names "{label}", which the group\'s network does not declare',
                final=True,
                next_step=f'Declare port "{label}" in the group\'s network block.',
            )
        chosen.append(by_label[label])
    return chosen


def inside_port(port: PortMapping) -> int:
    """Where the task listens: `to`, else the host port itself."""
    return port.To if port.To > 0 else port.Value


def port_bindings(ports: list[PortMapping]) -> dict[str, list[dict[str, str]]]:
    """For tcp and udp, on the address the scheduler assigned; several host ports may lead to one inside."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        for protocol in ("tcp", "udp"):
            bindings.setdefault(f"{inside_port(port)}/{protocol}", []).append(
                {"HostIp": port.HostIP, "HostPort": str(port.Value)}
            )
    return bindings


def resolver(setup: TaskSetup) -> dict[str, Any]:
    """DNS settings: the task's own, else the group's."""
    config, dns = setup.config, setup.network.dns
    host: dict[str, Any] = {}
    for key, field, group in (
        ("dns_servers", "Dns", dns.Servers if dns else None),
        ("dns_search_domains", "DnsSearch", dns.Searches if dns else None),
        ("dns_options", "DnsOptions", dns.Options if dns else None),
    ):
        chosen = strings(config, key) or list(group or ())
        if chosen:
            host[field] = chosen
    if strings(config, "extra_hosts"):
        host["ExtraHosts"] = strings(config, "extra_hosts")
    return host


def cpu_quota_us(cpu_mhz: int, node_cpu_mhz: int, node_cores: int, period_us: int) -> int:
    """CPU time a period for `cpu_mhz` of a node of `node_cpu_mhz` in total over `node_cores`."""
    return max(MIN_QUOTA_US, int(cpu_mhz / max(1, node_cpu_mhz) * node_cores * period_us))


def _cpu(setup: TaskSetup) -> dict[str, Any]:
    config = setup.config
    host: dict[str, Any] = {"CpuShares": max(MIN_SHARES, setup.cpu_mhz)}
    if boolean(config, "cpu_hard_limit"):
        period_us = integer(config, "cpu_cfs_period") or DEFAULT_PERIOD_US
        host["CpuPeriod"] = period_us
        host["CpuQuota"] = cpu_quota_us(setup.cpu_mhz, setup.node_cpu_mhz, setup.node_cores, period_us)
    if text(config, "cpuset_cpus"):
        host["CpusetCpus"] = text(config, "cpuset_cpus")
    return host


def _memory(setup: TaskSetup) -> dict[str, Any]:
    """`memory` is the hard limit; with `memory_max` (or the driver's memory_hard_limit) it is the reserved part."""
    hard_mb = max(setup.memory_max_mb, integer(setup.config, "memory_hard_limit"))
    limit = max(hard_mb, setup.memory_mb) * MEBIBYTE
    host: dict[str, Any] = {"Memory": limit, "MemorySwap": limit}
    if hard_mb > setup.memory_mb:
        host["MemoryReservation"] = setup.memory_mb * MEBIBYTE
    if "oom_score_adj" in setup.config:
        host["OomScoreAdj"] = integer(setup.config, "oom_score_adj")
    return host


def _rights(config: Mapping[str, Any]) -> dict[str, Any]:
    host: dict[str, Any] = {
        "Privileged": boolean(config, "privileged"),
        "ReadonlyRootfs": boolean(config, "readonly_rootfs"),
    }
    for key, field in (
        ("cap_add", "CapAdd"),
        ("cap_drop", "CapDrop"),
        ("security_opt", "SecurityOpt"),
        ("group_add", "GroupAdd"),
    ):
        if strings(config, key):
            host[field] = strings(config, key)
    if integer(config, "pids_limit"):
        host["PidsLimit"] = integer(config, "pids_limit")
    if boolean(config, "init"):
        host["Init"] = True
    if "sysctl" in config:
        host["Sysctls"] = string_map(config, "sysctl")
    if "ulimit" in config:
        host["Ulimits"] = [_ulimit(name, value) for name, value in sorted(string_map(config, "ulimit").items())]
    devices = config.get("devices")
    if isinstance(devices, list) and devices:
        host["Devices"] = [_device(device) for device in devices]
    return host


def _namespaces(config: Mapping[str, Any]) -> dict[str, Any]:
    keys = (
        ("pid_mode", "PidMode"),
        ("ipc_mode", "IpcMode"),
        ("uts_mode", "UTSMode"),
        ("userns_mode", "UsernsMode"),
        ("cgroupns", "CgroupnsMode"),
        ("isolation", "Isolation"),
    )
    return {field: text(config, key) for key, field in keys if text(config, key)}


def _ulimit(name: str, value: str) -> dict[str, Any]:
    soft, colon, hard = value.partition(":")
    try:
        return {"Name": name, "Soft": int(soft), "Hard": int(hard if colon else soft)}
    except ValueError:
        raise StartFailed(f'config.ulimit "{name}": "{value}" is not "soft" or "soft:hard"', final=True) from None


def _device(device: Any) -> dict[str, str]:
    if not isinstance(device, Mapping) or not text(device, "host_path"):
        raise StartFailed("config.devices: each needs host_path", final=True)
    return {
        "PathOnHost": text(device, "host_path"),
        "PathInContainer": text(device, "container_path") or text(device, "host_path"),
        "CgroupPermissions": text(device, "cgroup_permissions") or "rwm",
    }


def _log_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Ours keeps enough on dockerd's side that a worker that was away for long misses nothing."""
    chosen = merged_map(config, "logging")
    kind = text(chosen, "type") or text(chosen, "driver")
    if not kind:
        return {"Type": "json-file", "Config": {"max-file": "2", "max-size": "50m"}}
    return {"Type": kind, "Config": string_map(chosen, "config")}


def _bind(mount: Mount) -> str:
    options = ["ro"] if mount.read_only else []
    if mount.propagation and mount.propagation != "private":
        options.append(mount.propagation)
    return f"{mount.host}:{mount.inside}" + (f":{','.join(options)}" if options else "")


def _volumes(setup: TaskSetup) -> list[str]:
    """`volumes`: a relative host part lies below the task's folder."""
    binds: list[str] = []
    for volume in strings(setup.config, "volumes"):
        host, colon, rest = volume.partition(":")
        if not colon:
            raise StartFailed(f'config.volumes: "{volume}" is not "host:inside[:options]"', final=True)
        named = not host.startswith((".", "/")) and bool(text(setup.config, "volume_driver"))
        if not host.startswith("/") and not named:
            host = _below_task(setup, host, "volumes")
        binds.append(f"{host}:{rest}")
    return binds


def _below_task(setup: TaskSetup, relative: str, key: str) -> str:
    base = setup.folders.local.parent
    path = (base / relative).resolve()
    if not path.is_relative_to(base.resolve()) and not path.is_relative_to(setup.folders.shared.resolve()):
        raise StartFailed(f'config.{key}: "{relative}" leaves the task\'s folder', final=True)
    return str(path)


def _mount(setup: TaskSetup, mount: Mapping[str, Any]) -> dict[str, Any]:
    kind, source = text(mount, "type") or "volume", text(mount, "source")
    made: dict[str, Any] = {"Type": kind, "Target": text(mount, "target"), "ReadOnly": boolean(mount, "readonly")}
    if kind == "bind" and not source.startswith("/"):
        source = _below_task(setup, source, "mount")
        Path(source).mkdir(parents=True, exist_ok=True)
    if kind != "tmpfs":
        made["Source"] = source
    bind, tmpfs = merged_map(mount, "bind_options"), merged_map(mount, "tmpfs_options")
    if kind == "bind" and text(bind, "propagation"):
        made["BindOptions"] = {"Propagation": text(bind, "propagation")}
    if kind == "tmpfs" and tmpfs:
        made["TmpfsOptions"] = {"SizeBytes": size_bytes(tmpfs, "size"), "Mode": integer(tmpfs, "mode") or 0o1777}
    return made


def _endpoint(setup: TaskSetup) -> dict[str, Any]:
    config = setup.config
    endpoint: dict[str, Any] = {}
    if strings(config, "network_aliases"):
        endpoint["Aliases"] = strings(config, "network_aliases")
    addresses = {
        field: text(config, key)
        for key, field in (("ipv4_address", "IPv4Address"), ("ipv6_address", "IPv6Address"))
        if text(config, key)
    }
    if addresses:
        endpoint["IPAMConfig"] = addresses
    return endpoint
