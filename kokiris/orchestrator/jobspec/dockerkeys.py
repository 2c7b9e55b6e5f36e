"""The docker driver's configuration keys: type, and whether this version acts on them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """`kind`: text, number, boolean, texts, map, block, blocks. `acted`: "yes", "platform" (only jobs of the namespace
    "platform" may use it) or "no"."""

    kind: str
    acted: str = "yes"
    note: str = ""


_ACTED = """
image text
command text
args texts
entrypoint texts
ports texts
work_dir text
hostname text
labels map
force_pull boolean
image_pull_timeout text
extra_hosts texts
dns_servers texts
dns_search_domains texts
dns_options texts
readonly_rootfs boolean
shm_size number
sysctl map
ulimit map
tty boolean
interactive boolean
init boolean
cpu_hard_limit boolean
cpu_cfs_period number
memory_hard_limit number
pids_limit number
cap_drop texts
group_add texts
healthchecks map
"""
_REFUSED = """
port_map map
network_aliases texts
ipv4_address text
ipv6_address text
mac_address text
volume_driver text
devices blocks
logging block
load text
storage_opt map
runtime text
pid_mode text
ipc_mode text
uts_mode text
userns_mode text
cgroupns text
isolation text
cpuset_cpus text
oom_score_adj number
advertise_ipv6_address boolean
container_exists_attempts number
"""


def _listed(table: str, acted: str) -> dict[str, Key]:
    return {name: Key(kind, acted) for name, kind in (line.split() for line in table.strip().splitlines())}


DOCKER_KEYS: dict[str, Key] = {
    **_listed(_ACTED, "yes"),
    "auth_soft_fail": Key("boolean", note="there are no credential helpers that could fail"),
    "auth": Key("map", note="username, password, server_address"),
    "cap_add": Key("texts", note="outside the namespace platform only capabilities that dockerd gives anyway"),
    "security_opt": Key("texts", note="no-new-privileges; others only in the namespace platform"),
    "network_mode": Key("text", note="bridge, host, none"),
    "volumes": Key("texts", note="relative host paths; absolute ones only in the namespace platform"),
    "mounts": Key("blocks", note="bind of relative sources (absolute ones in the namespace platform) and tmpfs"),
    "mount": Key("blocks", note="the same as mounts"),
    "privileged": Key("boolean", "platform"),
    **_listed(_REFUSED, "no"),
    "port_map": Key("map", "no", "give the group's network a port with `to`, and list it in `ports`"),
    "logging": Key("block", "no", "what a task prints is collected anyway: `kokiris alloc logs`, `kokiris logs`"),
    "volume_driver": Key("text", "no", "use a host volume"),
}
"""All keys that real job files use."""

RAW_EXEC_KEYS: dict[str, Key] = {
    "command": Key("text"),
    "args": Key("texts"),
    "cgroup_v1_override": Key("map", "no"),
    "cgroup_v2_override": Key("text", "no"),
    "oom_score_adj": Key("number", "no"),
    "work_dir": Key("text", "no"),
    "denied_envvars": Key("texts", "no"),
}

AUTH_KEYS = frozenset({"username", "password", "server_address", "email"})
DEFAULT_CAPABILITIES = frozenset(
    {
        "audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod", "net_bind_service",
        "setfcap", "setgid", "setpcap", "setuid", "sys_chroot",
    }
)  # fmt: skip
"""What dockerd gives a container, less net_raw: the list Nomad's driver allows by default."""
