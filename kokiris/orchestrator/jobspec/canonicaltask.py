"""The canonical form of tasks and services."""

from __future__ import annotations

import posixpath
from typing import Any

from kokiris.orchestrator.jobspec.driverconfig import canonical_config

Raw = dict[str, Any]

_MAX_NAME = 63


def canonical_task(task: Raw, group: Raw, job: Raw) -> None:
    """Fills a folded task in place; the group's restart policy is canonical already."""
    resources = task.setdefault("Resources", {})
    if not resources.get("Cores"):
        resources.setdefault("CPU", 100)
    else:
        resources.setdefault("CPU", 0)
    task["RestartPolicy"] = {**group["RestartPolicy"], **task.get("RestartPolicy", {})}
    task.setdefault("LogConfig", {})
    if task.get("Lifecycle") == {} or not (task.get("Lifecycle") or {}).get("Hook", "x"):
        task.pop("Lifecycle", None)
    if "Config" in task:
        task["Config"] = canonical_config(task.get("Driver", ""), task["Config"])
    for template in task.get("Templates", []):
        _template(template)
    for artifact in task.get("Artifacts", []):
        _artifact(artifact)
    for device in resources.get("Devices", []):
        device.setdefault("Count", 1)
    for service in task.get("Services", []):
        service["TaskName"] = service.get("TaskName") or task.get("Name", "")
        canonical_service(service, task, group, job)
    if (vault := task.get("Vault")) is not None:
        for name, default in (("Env", True), ("ChangeMode", "restart"), ("ChangeSignal", "SIGHUP")):
            vault.setdefault(name, default)
        vault["Cluster"] = vault.get("Cluster") or "default"


def _template(template: Raw) -> None:
    mode = template.get("ChangeMode") or "restart"
    template["ChangeMode"] = mode
    signal = template.get("ChangeSignal", "")
    template["ChangeSignal"] = signal.upper() if signal else ("SIGHUP" if mode == "signal" else "")
    for name, default in (("Perms", "0644"), ("LeftDelim", "{{"), ("RightDelim", "}}")):
        template[name] = template.get(name) or default


def _artifact(artifact: Raw) -> None:
    mode = artifact.get("GetterMode") or "any"
    artifact["GetterMode"] = mode
    if not artifact.get("RelativeDest"):
        name = posixpath.basename(artifact.get("GetterSource", ""))
        artifact["RelativeDest"] = posixpath.join("local", name) if mode == "file" else "local/"


def canonical_service(service: Raw, task: Raw | None, group: Raw, job: Raw) -> None:
    """Fills a folded service in place: its name, modes, and each check's restart and update behaviour."""
    names = [job.get("Name", ""), group.get("Name", ""), *([task.get("Name", "")] if task else [])]
    service["Name"] = _service_name(service.get("Name", ""), names)
    service["AddressMode"] = service.get("AddressMode") or "auto"
    service["OnUpdate"] = service.get("OnUpdate") or "require_healthy"
    service["Provider"] = service.get("Provider") or "consul"
    service["Cluster"] = service.get("Cluster") or "default"
    for check in service.get("Checks", []):
        _check(check, service)


def _service_name(name: str, names: list[str]) -> str:
    base = "-".join(names)
    replaced = name or base
    task = names[2] if len(names) > 2 else ""
    for word, value in (("JOB", names[0]), ("TASKGROUP", names[1]), ("TASK", task), ("BASE", base)):
        replaced = replaced.replace(f"${{{word}}}", value)
    return replaced


def _check(check: Raw, service: Raw) -> None:
    restart = {**service.get("CheckRestart", {}), **_given(check.get("CheckRestart", {}))}
    if restart:
        check["CheckRestart"] = restart
    check["OnUpdate"] = check.get("OnUpdate") or service["OnUpdate"]
    kind = check.get("Type", "").lower()
    check["Type"] = kind
    check["Name"] = check.get("Name") or f'service: "{service["Name"]}" check'
    if kind == "http":
        check["Protocol"] = check.get("Protocol") or "http"
        check["Method"] = check.get("Method") or "GET"
    for name in ("SuccessBeforePassing", "FailuresBeforeCritical", "FailuresBeforeWarning"):
        if check.get(name, 0) < 0:
            check[name] = 0


def _given(restart: Raw) -> Raw:
    """What a check's own check_restart overrides: a limit or warnings flag of zero says nothing."""
    return {name: value for name, value in restart.items() if name == "Grace" or value}
