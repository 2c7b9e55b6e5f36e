"""Blocks that tasks, sidecars and groups share."""

from __future__ import annotations

from typing import Any

from kokiris.orchestrator.jobspec.schema import STRINGS, Spec, fields, many, one

_SHORTHANDS = ("version", "semver", "regexp", "set_contains_any", "set_contains_all", "set_contains")


def shorthand(decoded: dict[str, Any]) -> dict[str, Any]:
    """`version = ">= 1"` and its like are Operand and RTarget; distinct_property names the LTarget."""
    for name in (*_SHORTHANDS, "is_set", "is_not_set"):
        value = decoded.pop(name, None)
        if value and name.startswith("is_"):
            decoded.update(Operand=name, LTarget=value)
        elif value:
            decoded.update(Operand=name, RTarget=value)
    if (distinct := decoded.pop("distinct_hosts", None)) is not None:
        decoded.update(Operand="distinct_hosts", RTarget="true" if distinct else "false")
    if attribute := decoded.pop("distinct_property", None):
        decoded.update(Operand="distinct_property", LTarget=attribute)
    decoded.setdefault("Operand", "=")
    return {"LTarget": "", "RTarget": "", **decoded}


def _ports(decoded: dict[str, Any]) -> dict[str, Any]:
    """Ports with a static value are reserved ones."""
    ports = decoded.pop("DynamicPorts", [])
    reserved = [port for port in ports if port.get("Value", 0) > 0]
    dynamic = [port for port in ports if port.get("Value", 0) <= 0]
    if reserved:
        decoded["ReservedPorts"] = [*decoded.get("ReservedPorts", []), *reserved]
    if dynamic:
        decoded["DynamicPorts"] = dynamic
    return decoded


_PORT = Spec(
    labels=("Label",),
    fields=fields("""
        static Value int
        to To int
        host_network HostNetwork str
        ignore_collision IgnoreCollision bool
    """),
)
NETWORK = Spec(
    fields=fields("""
        mode Mode str
        device Device str
        cidr CIDR str
        ip IP str
        hostname Hostname str
        mbits MBits int
    """),
    blocks={
        "port": many("DynamicPorts", _PORT),
        "reserved_ports": many("ReservedPorts", _PORT),
        "dns": one(
            "DNS",
            Spec(fields=fields("servers Servers strings\nsearches Searches strings\noptions Options strings")),
        ),
        "cni": one("CNI", Spec(blocks={"args": one("Args", STRINGS)})),
    },
    finish=_ports,
)
CONSTRAINT = Spec(
    fields=fields("""
        attribute LTarget str
        value RTarget str
        operator Operand str
        version version str
        semver semver str
        regexp regexp str
        set_contains set_contains str
        set_contains_all set_contains_all str
        set_contains_any set_contains_any str
        is_set is_set str
        is_not_set is_not_set str
        distinct_hosts distinct_hosts bool
        distinct_property distinct_property str
    """),
    finish=shorthand,
)
_DEVICE_AFFINITY = Spec(
    fields={**CONSTRAINT.fields, **fields("weight Weight int")},
    finish=shorthand,
)
RESOURCES = Spec(
    fields=fields("""
        cpu CPU int
        cores Cores int
        memory MemoryMB int
        memory_max MemoryMaxMB int
        disk DiskMB int
        secrets SecretsMB int
        iops IOPS int
    """),
    blocks={
        "network": many("Networks", NETWORK),
        "device": many(
            "Devices",
            Spec(
                labels=("Name",),
                fields=fields("count Count int"),
                blocks={
                    "constraint": many("Constraints", CONSTRAINT),
                    "affinity": many("Affinities", _DEVICE_AFFINITY),
                },
            ),
        ),
        "numa": one("NUMA", Spec(fields=fields("affinity Affinity str\ndevices Devices strings"))),
    },
)
LOGS = Spec(
    fields=fields("""
        max_files MaxFiles int
        max_file_size MaxFileSizeMB int
        enabled Enabled bool
        disabled Disabled bool
    """)
)
IDENTITY = Spec(
    fields=fields("""
        name Name str
        aud Audience strings
        change_mode ChangeMode str
        change_signal ChangeSignal str
        env Env bool
        file File bool
        filepath Filepath str
        service_name ServiceName str
        ttl TTL duration
        extra_claims ExtraClaims strings
    """)
)
CHECK_RESTART = Spec(
    fields=fields("""
        limit Limit int
        grace Grace duration
        ignore_warnings IgnoreWarnings bool
    """)
)
VOLUME_MOUNT = Spec(
    fields=fields("""
        volume Volume str
        destination Destination str
        read_only ReadOnly bool
        propagation_mode PropagationMode str
        selinux_label SELinuxLabel str
    """)
)
