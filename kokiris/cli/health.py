"""What `kokiris status` looks at."""

from __future__ import annotations

import contextlib

import msgspec

from kokiris.access.bootstrap import door_address
from kokiris.agent.bringup.up import token_of, vip_get
from kokiris.agent.processes import read_pid
from kokiris.infra.config import Config, Layout

ANSWERS, NOT_ENABLED = "answers", "not enabled"


class ProcessHealth(msgspec.Struct):
    """A process of the node; `pid` 0 when it does not run."""

    name: str
    pid: int
    status: str


class DoorHealth(msgspec.Struct):
    """An address and whether it answers."""

    address: str
    status: str


class JobHealth(msgspec.Struct):
    """A job; `running` is "2/2"."""

    id: str
    type: str
    status: str
    running: str


class Health(msgspec.Struct):
    """All of it; `well` when every process runs and every door answers that is enabled."""

    well: bool
    processes: list[ProcessHealth]
    doors: list[DoorHealth]
    jobs: list[JobHealth]


def collect(config: Config, layout: Layout) -> Health:
    """Looks at processes, doors and jobs now."""
    processes = [_process(layout, name) for name in expected_processes(config)]
    names = config.addresses
    token = token_of(layout)
    doors = [
        _door(config, layout, names.vip, "/"),
        _door(config, layout, names.traefikadmin, "/ping"),
        _door(config, layout, names.consul, "/v1/status/leader", token),
        _door(config, layout, names.nomad, "/v1/status/leader"),
        _add_on(config, layout, names.pma, "phpmyadmin", token),
        _add_on(config, layout, names.registry, "registry", token),
        _door(config, layout, names.kib, "/_cluster/health", token),
    ]
    well = all(one.pid for one in processes) and all(one.status in {ANSWERS, NOT_ENABLED} for one in doors)
    return Health(well, processes, doors, _jobs(config, layout, token))


def expected_processes(config: Config) -> list[str]:
    """What should run on a node of this configuration (dockerd aside: it may be the machine's own). Pure."""
    names = ["agent", "nursery"]
    names += ["server", "logs"] if config.server else []
    names += ["etcd"] if config.server and config.store.kind == "etcd" and not config.store.endpoints else []
    names += ["haproxy", "edge", "dns"] if config.edge else []
    names += ["worker"] if config.worker else []
    return names


def _process(layout: Layout, name: str) -> ProcessHealth:
    record = read_pid(layout.run / f"{name}.pid")
    return ProcessHealth(name, record.pid, "running") if record else ProcessHealth(name, 0, "not running")


def _door(config: Config, layout: Layout, host: str, path: str, token: str = "") -> DoorHealth:
    address = door_address(config, host)
    try:
        status, body = vip_get(config, layout, host, path, token=token)
    except OSError as error:
        return DoorHealth(address, f"does not answer: {error}")
    return DoorHealth(address, log_search_status(status, body) if host == config.addresses.kib else _answers(status))


def _answers(status: int) -> str:
    return ANSWERS if status == 200 else f"answers {status}"


def log_search_status(status: int, body: bytes) -> str:
    """How the log search is, by its `_cluster/health`: its own warning when it takes no entries. Pure."""
    with contextlib.suppress(msgspec.MsgspecError):
        warning = msgspec.json.decode(body, type=_LogHealth).warning
        if status == 200 and warning:
            return f"takes no entries: {warning}"
    return _answers(status)


class _LogHealth(msgspec.Struct):
    warning: str = ""


def _add_on(config: Config, layout: Layout, host: str, service: str, token: str) -> DoorHealth:
    """By the catalog: an address that a job answers says little about the job before somebody has signed in."""
    address, consul = door_address(config, host), config.addresses.consul
    try:
        status, listed = vip_get(config, layout, consul, "/v1/catalog/services", token=token)
        _, passing = vip_get(config, layout, consul, f"/v1/health/service/{service}?passing", token=token)
    except OSError as error:
        return DoorHealth(address, f"does not answer: {error}")
    if status != 200:
        return DoorHealth(address, f"unknown: service discovery answers {status}")
    if service not in msgspec.json.decode(listed):
        return DoorHealth(address, NOT_ENABLED)
    healthy = bool(msgspec.json.decode(passing))
    return DoorHealth(address, ANSWERS if healthy else f"no healthy instance: kokiris addon status {service}")


def _jobs(config: Config, layout: Layout, token: str) -> list[JobHealth]:
    try:
        status, body = vip_get(config, layout, config.addresses.nomad, "/v1/jobs?namespace=*", token=token)
    except OSError:
        return []
    if status != 200:
        return []
    jobs = []
    for job in msgspec.json.decode(body):
        groups = ((job.get("JobSummary") or {}).get("Summary") or {}).values()
        running = sum(group["Running"] for group in groups)
        wanted = running + sum(group["Starting"] + group["Queued"] for group in groups)
        jobs.append(JobHealth(job["ID"], job["Type"], job["Status"], f"{running}/{wanted}"))
    return jobs
