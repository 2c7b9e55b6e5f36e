"""Services and checks of a group and its tasks."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from kokiris.kernel.units import SECOND_NS, format_duration
from kokiris.orchestrator.jobspec.validation.rules import first_broken
from kokiris.orchestrator.model.job import TaskGroup
from kokiris.orchestrator.model.service import Service, ServiceCheck

MIN_CHECK = SECOND_NS
_NAME = re.compile(r"(?i)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_INTERPOLATED = re.compile(r"\$\{[^}]*\}")
_ADDRESS_MODES = ("auto", "host", "driver", "alloc", "alloc_ipv6")
_ON_UPDATE = ("require_healthy", "ignore_warnings", "ignore")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"})


def service_errors(group: TaskGroup) -> list[str]:
    """What is wrong with all services of a group: those of its tasks are checked for ports and doubles with them."""
    labels = _port_labels(group)
    tasks = {task.Name for task in group.Tasks or []}
    errors: list[str] = []
    for i, service in enumerate(group.Services or []):
        prefix = f"Service[{i}] {service.Name} validation failed: "
        errors += [prefix + error for error in _service(service)]
        errors += _ports(service, labels, in_task=False)
        if service.TaskName and service.TaskName not in tasks:
            errors.append(f"Service {service.Name} is invalid: refers to non-existent task {service.TaskName}")
        if service.AddressMode == "driver":
            errors.append(
                f'service "{service.Name}" cannot use address_mode="driver", only services defined in a "task" block'
                " can use this mode"
            )
        errors += [
            f"Check {check.Name} invalid: refers to non-existent task {check.TaskName}"
            for check in service.Checks or []
            if check.TaskName and check.TaskName not in tasks
        ]
    for task in group.Tasks or []:
        for i, service in enumerate(task.Services or []):
            prefix = f'service[{i}] "{service.Name}" validation failed: '
            errors += [prefix + error for error in _service(service)]
            errors += _ports(service, labels, in_task=True)
            if service.TaskName not in {"", task.Name}:
                errors.append(
                    f"Service {service.Name} is invalid: may only specify task the service belongs to, got"
                    f' "{service.TaskName}"'
                )
            if service.AddressMode in {"alloc", "alloc_ipv6"}:
                errors.append(
                    f'service "{service.Name}" cannot use address_mode="{service.AddressMode}", only services defined'
                    ' in a "group" block can use this mode'
                )
    return errors + _doubles(group) + _providers(group)


def _port_labels(group: TaskGroup) -> set[str]:
    return {
        port.Label
        for network in group.Networks or []
        for port in [*(network.ReservedPorts or []), *(network.DynamicPorts or [])]
    }


def _all(group: TaskGroup) -> list[tuple[str, Service]]:
    found = [("", service) for service in group.Services or []]
    return found + [(task.Name, service) for task in group.Tasks or [] for service in task.Services or []]


def _doubles(group: TaskGroup) -> list[str]:
    seen: set[tuple[str, str, str]] = set()
    errors: list[str] = []
    for task, service in _all(group):
        mark = (task, service.Name, service.PortLabel)
        if mark in seen:
            errors.append(f'service "{service.Name}" is duplicate')
        seen.add(mark)
        names = [check.Name for check in service.Checks or []]
        doubled = {name for name in names if names.count(name) > 1}
        errors += [f'check "{name}" is duplicate' for name in sorted(doubled) if not name.startswith("service: ")]
    return errors


def _providers(group: TaskGroup) -> list[str]:
    providers = {service.Provider for _, service in _all(group)}
    if len(providers) > 1:
        return ["Multiple service providers used: task group services must use the same provider"]
    return []


def _service(service: Service) -> list[str]:
    errors: list[str] = []
    if not _NAME.fullmatch(_INTERPOLATED.sub("x", service.Name)):
        errors.append(
            "Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes and must"
            f' be no longer than 63 characters: "{service.Name}"'
        )
    if service.AddressMode not in _ADDRESS_MODES:
        errors.append(f'Service address_mode must be "auto", "host", or "driver"; not "{service.AddressMode}"')
    elif service.Address and service.AddressMode != "auto":
        errors.append('Service address_mode must be "auto" if address is set')
    if service.OnUpdate not in _ON_UPDATE:
        errors.append(
            f'Service on_update must be "require_healthy", "ignore_warnings", or "ignore"; not "{service.OnUpdate}"'
        )
    if service.Provider not in {"consul", "nomad"}:
        errors.append(f'Service provider must be "consul", or "nomad"; not "{service.Provider}"')
    for check in service.Checks or []:
        error = _check(check, service)
        if error:
            errors.append(f"Check {check.Name} invalid: {error}")
    return errors


def _ports(service: Service, labels: set[str], *, in_task: bool) -> list[str]:
    errors: list[str] = []
    if (label := service.PortLabel) and not label.isdigit() and label not in labels and "${" not in label:
        errors.append(f'port label "{label}" referenced by services {service.Name} does not exist')
    for check in service.Checks or []:
        port = check.PortLabel or service.PortLabel
        if check.Type in {"http", "tcp", "grpc"} and not port:
            errors.append(
                f'Check {check.Name} invalid: check requires a port but neither check nor service "{service.Name}"'
                " have a port"
            )
        elif check.PortLabel and not check.PortLabel.isdigit() and check.PortLabel not in labels:
            errors.append(f'port label "{check.PortLabel}" referenced by check "{check.Name}" does not exist')
        elif check.PortLabel.isdigit() and not 0 < int(check.PortLabel[:9]) < 65536:
            errors.append(f'check "{check.Name}" has invalid numeric port {check.PortLabel[:9]}')
        if in_task and check.AddressMode in {"alloc", "alloc_ipv6"}:
            errors.append(
                f'check "{check.Name}" cannot use address_mode="{check.AddressMode}", only checks defined in a'
                ' "group" service block can use this mode'
            )
    return errors


def _check(check: ServiceCheck, service: Service) -> str:
    """The first thing that is wrong with a check, "" when nothing is."""
    allowed = ("tcp", "http", "grpc", "script") if service.Provider == "consul" else ("tcp", "http")
    if check.Type not in allowed:
        return f'invalid check type ("{check.Type}"), must be one of {", ".join(allowed)}'
    return _check_kind(check) or _check_times(check) or _check_modes(check) or _check_nomad(check, service)


def _check_kind(check: ServiceCheck) -> str:
    if check.Type == "script" and not check.Command:
        return "script type must have a valid script path"
    if check.Type != "http":
        return ""
    try:
        absolute = bool(urlsplit(check.Path).scheme)
    except ValueError:
        return "http type must have valid http path"
    method = check.Method.upper() or "GET"
    return first_broken(
        (not check.Path, "http type must have http path"),
        (absolute, "http type must have relative http path"),
        (method not in _METHODS, f'method type "{check.Method}" not supported in Nomad http check'),
        (
            check.Protocol not in {"", "http", "https"},
            f'protocol "{check.Protocol}" of an http check must be http or https',
        ),
    )


def _check_times(check: ServiceCheck) -> str:
    least = format_duration(MIN_CHECK)
    interval, timeout = format_duration(check.Interval), format_duration(check.Timeout)
    return first_broken(
        (check.Interval == 0, f"missing required value interval. Interval cannot be less than {least}"),
        (check.Interval < MIN_CHECK, f"interval ({interval}) cannot be lower than {least}"),
        (check.Timeout == 0, f"missing required value timeout. Timeout cannot be less than {least}"),
        (check.Timeout < MIN_CHECK, f"timeout ({timeout}) is lower than required minimum timeout {least}"),
        (
            check.InitialStatus not in {"", "passing", "warning", "critical"},
            f'invalid initial check state ({check.InitialStatus}), must be one of "passing", "warning", "critical" or'
            " empty",
        ),
    )


def _check_modes(check: ServiceCheck) -> str:
    restart = check.CheckRestart
    on_update = check.OnUpdate
    return first_broken(
        (check.AddressMode == "auto", 'invalid address_mode "auto" - auto only valid for services'),
        (check.AddressMode not in {"", *_ADDRESS_MODES}, f'invalid address_mode "{check.AddressMode}"'),
        (
            on_update not in {"", *_ON_UPDATE},
            f'on_update must be "require_healthy", "ignore_warnings", or "ignore"; got "{on_update}"',
        ),
        (
            restart is not None and on_update == "ignore",
            f'on_update value "{on_update}" is not compatible with check_restart',
        ),
        (
            restart is not None and not restart.IgnoreWarnings and on_update == "ignore_warnings",
            f'on_update value "{on_update}" not supported with check_restart ignore_warnings value "false"',
        ),
        (restart is not None and restart.Limit < 0, "limit must be greater than or equal to 0"),
        (restart is not None and restart.Grace < 0, "grace period must be greater than or equal to 0"),
    )


def _check_nomad(check: ServiceCheck, service: Service) -> str:
    """Limits of checks whose service has the provider "nomad"."""
    if service.Provider != "nomad":
        return ""
    consul_only = (
        ("expose", check.Expose),
        ("success_before_passing", check.SuccessBeforePassing),
        ("failures_before_critical", check.FailuresBeforeCritical),
        ("failures_before_warning", check.FailuresBeforeWarning),
        ("tls_server_name", check.TLSServerName),
    )
    for name, value in consul_only:
        if value:
            return f"{name} may only be set for Consul service checks"
    if check.OnUpdate == "ignore_warnings":
        return "on_update may only be set to ignore_warnings for Consul service checks"
    if check.AddressMode == "driver":
        return "address_mode = driver may only be set for Consul service checks"
    return ""
