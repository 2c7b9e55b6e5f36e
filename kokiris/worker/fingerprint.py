"""What a node is and has: attributes that jobs can ask for, resources, drivers. Reads /proc and the like."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kokiris import __version__
from kokiris.infra.config import Config, Layout
from kokiris.kernel.clock import rfc3339, wall_ns
from kokiris.orchestrator.model.node import (
    DriverInfo,
    Node,
    NodeCapacity,
    NodeCpuResources,
    NodeDiskResources,
    NodeMemoryResources,
)
from kokiris.orchestrator.model.resources import NetworkResource, TaskResources
from kokiris.worker.drivers.contract import DriverHealth
from kokiris.worker.drivers.signals import NAMES

MEBIBYTE = 1024 * 1024
NOMAD_VERSION = "1.9.0"
"""Whose API and job language we speak: what constraints on `attr.nomad.version` are compared with."""
FALLBACK_MHZ = 2000
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Host:
    """What was read of the machine."""

    kernel: str
    machine: str
    hostname: str
    os_name: str
    os_version: str
    cores: int
    mhz: int
    model: str
    memory_bytes: int
    disk_device: str
    disk_total_bytes: int
    disk_free_bytes: int
    extra: Mapping[str, str] = field(default_factory=dict)


def read_host(layout: Layout) -> Host:
    """The machine as it is now; what cannot be read has a harmless value."""
    release = _os_release(_text("/etc/os-release"))
    mhz, model = _cpu(_text("/proc/cpuinfo"))
    layout.root.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(layout.root)
    return Host(
        kernel=platform.release(),
        machine=platform.machine(),
        hostname=platform.node(),
        os_name=release.get("ID", "linux"),
        os_version=release.get("VERSION_ID", ""),
        cores=len(os.sched_getaffinity(0)),
        mhz=mhz,
        model=model,
        memory_bytes=_memory_bytes(_text("/proc/meminfo")),
        disk_device=_device_of(str(layout.root), _text("/proc/self/mounts")),
        disk_total_bytes=disk.total,
        disk_free_bytes=disk.free,
    )


def attributes(config: Config, host: Host, address: str, drivers: Mapping[str, DriverHealth]) -> dict[str, str]:
    """As constraints name them, without "attr.". Pure."""
    architecture = _ARCHITECTURES.get(host.machine, host.machine)
    found = {
        "kernel.name": "linux",
        "kernel.version": host.kernel,
        "kernel.arch": host.machine,
        "cpu.arch": architecture,
        "cpu.numcores": str(host.cores),
        "cpu.frequency": str(host.mhz),
        "cpu.totalcompute": str(host.mhz * host.cores),
        "cpu.usablecompute": str(host.mhz * host.cores),
        "cpu.modelname": host.model,
        "memory.totalbytes": str(host.memory_bytes),
        "os.name": host.os_name,
        "os.version": host.os_version,
        "os.signals": ",".join(NAMES),
        "unique.hostname": host.hostname,
        "unique.network.ip-address": address,
        "unique.storage.volume": host.disk_device,
        "unique.storage.bytestotal": str(host.disk_total_bytes),
        "unique.storage.bytesfree": str(host.disk_free_bytes),
        "nomad.version": NOMAD_VERSION,
        "nomad.service_discovery": "true",
        "consul.version": "1.18.0",
        "kokiris.version": __version__,
        "unique.kokiris.node_api": f"{config.bind_address}:{config.ports.node}",
        "plugins.cni.version.bridge": "1.0.0",
    }
    for health in drivers.values():
        if health.detected:
            found.update(health.attributes)
    return {key: value for key, value in found.items() if value}


def make_node(config: Config, host: Host, node_id: str, address: str, drivers: Mapping[str, DriverHealth]) -> Node:
    """The node as it registers. Pure but for the time of the drivers' news."""
    compute = host.mhz * host.cores
    memory_mb, disk_mb = host.memory_bytes // MEBIBYTE, host.disk_free_bytes // MEBIBYTE
    network = NetworkResource(Mode="host", Device="", CIDR=f"{address}/32", IP=address)
    now = rfc3339(wall_ns())
    return Node(
        ID=node_id,
        Datacenter=config.datacenter,
        Name=config.node_name,
        HTTPAddr=f"{config.bind_address}:{config.ports.nomad}",
        TLSEnabled=True,
        Attributes=attributes(config, host, address, drivers),
        Resources=TaskResources(CPU=compute, MemoryMB=memory_mb, DiskMB=disk_mb, Networks=[network]),
        NodeResources=NodeCapacity(
            Cpu=NodeCpuResources(
                CpuShares=compute, TotalCpuCores=host.cores, ReservableCpuCores=list(range(host.cores))
            ),
            Memory=NodeMemoryResources(MemoryMB=memory_mb),
            Disk=NodeDiskResources(DiskMB=disk_mb),
            Networks=[network],
            MinDynamicPort=20000,
            MaxDynamicPort=32000,
        ),
        Links={},
        Meta={},
        Status="ready",
        Drivers={
            name: DriverInfo(
                Attributes=health.attributes or None,
                Detected=health.detected,
                Healthy=health.healthy,
                HealthDescription=health.description,
                UpdateTime=now,
            )
            for name, health in drivers.items()
        },
        HostVolumes=_volumes(config),
    )


def same_but_measures(one: Node, other: Node) -> bool:
    """Whether two fingerprints differ in nothing that is worth telling the servers."""
    return _telling(one) == _telling(other)


def _telling(node: Node) -> tuple[object, ...]:
    noisy = {"unique.storage.bytesfree", "cpu.frequency"}
    attributes_ = {key: value for key, value in (node.Attributes or {}).items() if key not in noisy}
    drivers = {
        name: (info.Detected, info.Healthy, info.HealthDescription) for name, info in (node.Drivers or {}).items()
    }
    return attributes_, drivers, node.HostVolumes


def _volumes(config: Config) -> dict[str, dict[str, object]] | None:
    """Every folder below `<data>/volumes` is a host volume of its name."""
    root = Path(config.data_dir) / "volumes"
    if not root.is_dir():
        return None
    return {
        path.name: {"Name": path.name, "Path": str(path), "ReadOnly": False}
        for path in sorted(root.iterdir())
        if path.is_dir()
    }


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _os_release(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: value.strip().strip('"') for key, _, value in pairs}


def _cpu(text: str) -> tuple[int, str]:
    """(MHz of a core, model name): the fastest core's, as the others may sleep this moment."""
    speeds = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)]
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    named = re.search(r"@ ([\d.]+)GHz", model[1]) if model else None
    mhz = round(float(named[1]) * 1000) if named else round(max(speeds, default=FALLBACK_MHZ))
    return mhz or FALLBACK_MHZ, model[1].strip() if model else ""


def _memory_bytes(text: str) -> int:
    match = re.search(r"^MemTotal:\s*(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _device_of(path: str, mounts: str) -> str:
    """The device of the longest mount point above `path`."""
    best, device = "", ""
    for line in mounts.splitlines():
        parts = line.split()
        inside = len(parts) > 1 and (path == parts[1] or path.startswith(parts[1].rstrip("/") + "/"))
        if inside and len(parts[1]) >= len(best):
            best, device = parts[1], parts[0]
    return device
