"""What would reach the node itself from a container: only the platform's own jobs may. Pure.

The servers refuse such jobs when they are planned; values with `${…}` are known only here, where they are filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kokiris.worker.drivers.config_values import boolean, strings, text
from kokiris.worker.drivers.contract import StartFailed

PLATFORM = "platform"
SHARED_NAMESPACES = ("pid_mode", "ipc_mode", "uts_mode", "userns_mode", "cgroupns")
CAPABILITIES = frozenset(
    {
        "audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod", "net_bind_service",
        "setfcap", "setgid", "setpcap", "setuid", "sys_chroot",
    }
)  # fmt: skip
"""What dockerd gives a container anyway, less net_raw."""
_HARMLESS_OPTIONS = frozenset({"no-new-privileges", "no-new-privileges:true"})


def refuse_host_access(config: Mapping[str, Any], namespace: str) -> None:
    """Raises StartFailed naming the first key of an interpolated `config` that only "platform" jobs may use so."""
    mode = text(config, "network_mode")
    if mode not in {"", "bridge", "default", "host", "none"}:
        raise StartFailed(f'config.network_mode "{mode}" is not supported; bridge, host and none are', final=True)
    if namespace == PLATFORM:
        return
    for key in ("privileged", *SHARED_NAMESPACES, "devices", "runtime", "volume_driver"):
        if config.get(key) and not (key == "privileged" and not boolean(config, key)):
            raise _reserved(key, "")
    for capability in strings(config, "cap_add"):
        if capability.lower().removeprefix("cap_") not in CAPABILITIES:
            raise _reserved("cap_add", capability)
    for option in strings(config, "security_opt"):
        if option.replace("=", ":").lower() not in _HARMLESS_OPTIONS:
            raise _reserved("security_opt", option)
    for volume in strings(config, "volumes"):
        if volume.startswith(("/", "~")):
            raise _reserved("volumes", volume)
    for mount in mounts_of(config):
        if text(mount, "type") == "bind" and text(mount, "source").startswith(("/", "~")):
            raise _reserved("mount", text(mount, "source"))


def mounts_of(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of `mount` and `mounts`, one block or several."""
    found: list[Any] = []
    for key in ("mount", "mounts"):
        value = config.get(key)
        found += value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, Mapping)]


def _reserved(key: str, value: str) -> StartFailed:
    shown = f' "{value}"' if value else ""
    return StartFailed(
        f'config.{key}{shown} is only allowed in the namespace "{PLATFORM}"',
        final=True,
        next_step="Use a path below the task's folder, or a host volume of the node.",
    )
