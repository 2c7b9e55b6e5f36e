"""Tasks: driver, resources, templates, mounts."""

from __future__ import annotations

import posixpath
import re

from kokiris.kernel.units import format_duration
from kokiris.orchestrator.jobspec.multierror import multi_error
from kokiris.orchestrator.jobspec.validation.driver import config_errors
from kokiris.orchestrator.jobspec.validation.placement import affinity_errors, constraint_errors, numbered
from kokiris.orchestrator.jobspec.validation.policies import restart_errors
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.resources import TaskResources
from kokiris.orchestrator.model.task import LogConfigSpec, Task, Template

MIN_CPU_MHZ = 1
MIN_MEMORY_MB = 10
_HOOKS = ("prestart", "poststart", "poststop")
_CHANGE_MODES = ("noop", "signal", "script", "restart")
_VARIABLE = re.compile(r"[^\x00=]+")


def task_errors(job: Job, group: TaskGroup, task: Task) -> list[str]:
    """What is wrong with one task."""
    errors = _name_errors(task)
    if task.KillTimeout < 0:
        errors.append("KillTimeout must be a positive value")
    elif group.Update is not None and 0 < group.Update.ProgressDeadline < task.KillTimeout:
        errors.append(
            f"KillTimout ({format_duration(task.KillTimeout)}) longer than the group's ProgressDeadline"
            f" ({format_duration(group.Update.ProgressDeadline)})"
        )
    if task.ShutdownDelay < 0:
        errors.append("ShutdownDelay must be a positive value")
    errors += _resource_errors(task.Resources)
    errors += _log_errors(task.LogConfig, group)
    errors += _placement_errors(job, task)
    errors += _template_list_errors(task)
    if task.RestartPolicy is not None and task.RestartPolicy != group.RestartPolicy:
        errors += restart_errors(task.RestartPolicy)
    if task.Lifecycle is not None and task.Lifecycle.Hook not in _HOOKS:
        reason = f"invalid hook: {task.Lifecycle.Hook}" if task.Lifecycle.Hook else "no lifecycle hook provided"
        errors.append(f"Lifecycle validation failed: {reason}")
    errors += _mount_errors(task, group)
    errors += [f'env "{name}" is not a valid name' for name in task.Env or {} if not _VARIABLE.fullmatch(name)]
    errors += config_errors(group, task)
    return errors


def _name_errors(task: Task) -> list[str]:
    errors: list[str] = []
    if not task.Name:
        errors.append("Missing task name")
    if task.Name == "alloc":
        errors.append('Task cannot be named "alloc"')
    if "/" in task.Name or "\\" in task.Name:
        errors.append("Task name cannot include slashes")
    elif "\x00" in task.Name:
        errors.append("Task name cannot include null characters")
    if task.Name in {".", ".."}:
        errors.append(f'Task cannot be named "{task.Name}"')
    if not task.Driver:
        errors.append("Missing task driver")
    return errors


def _resource_errors(resources: TaskResources | None) -> list[str]:
    if resources is None:
        return ["Missing task resources"]
    errors: list[str] = []
    if resources.Cores > 0 and resources.CPU > 0:
        errors.append("Task can only ask for 'cpu' or 'cores' resource, not both.")
    if resources.Cores < 0:
        errors.append(f"cores value ({resources.Cores}) cannot be negative")
    if resources.Cores == 0 and resources.CPU < MIN_CPU_MHZ:
        errors.append(f"minimum CPU value is {MIN_CPU_MHZ}; got {resources.CPU}")
    if resources.MemoryMB < MIN_MEMORY_MB:
        errors.append(f"minimum MemoryMB value is {MIN_MEMORY_MB}; got {resources.MemoryMB}")
    if resources.MemoryMaxMB not in {0, -1} and resources.MemoryMaxMB < resources.MemoryMB:
        errors.append(
            f"MemoryMaxMB value ({resources.MemoryMaxMB}) should be larger than MemoryMB value ({resources.MemoryMB})"
        )
    return errors


def _log_errors(logs: LogConfigSpec | None, group: TaskGroup) -> list[str]:
    if logs is None:
        return ["Missing Log Config"]
    if logs.Disabled:
        return []
    errors: list[str] = []
    if logs.MaxFiles < 1:
        errors.append(f"minimum number of files is 1; got {logs.MaxFiles}")
    if logs.MaxFileSizeMB < 1:
        errors.append(f"minimum file size is 1MB; got {logs.MaxFileSizeMB}")
    used = logs.MaxFiles * logs.MaxFileSizeMB
    if group.EphemeralDisk is not None and group.EphemeralDisk.SizeMB <= used:
        errors.append(
            f"log storage ({used} MB) must be less than requested disk capacity ({group.EphemeralDisk.SizeMB} MB)"
        )
    return errors


def _placement_errors(job: Job, task: Task) -> list[str]:
    errors = numbered("Constraint", task.Constraints, lambda one: constraint_errors(one, in_task=True))
    if job.Type == "system":
        return [*errors, "System jobs may not have an affinity block"] if task.Affinities else errors
    return errors + numbered("Affinity", task.Affinities, affinity_errors)


def _template_list_errors(task: Task) -> list[str]:
    errors: list[str] = []
    destinations: dict[str, int] = {}
    for i, template in enumerate(task.Templates or [], start=1):
        found = _template_errors(template)
        if found:
            errors.append(f"Template {i} validation failed: {multi_error(found)}")
        other = destinations.setdefault(template.DestPath, i)
        if other != i and template.DestPath:
            errors.append(f"Template {i} has same destination as {other}")
    return errors


def _template_errors(template: Template) -> list[str]:
    errors: list[str] = []
    if not template.SourcePath and not template.EmbeddedTmpl:
        errors.append("Must specify a source path or have an embedded template")
    if not template.DestPath:
        errors.append("Must specify a destination for the template")
    elif escapes(template.DestPath):
        errors.append("destination escapes allocation directory")
    if template.ChangeMode not in _CHANGE_MODES:
        errors.append("Invalid change mode. Must be one of the following: noop, signal, script, restart")
    elif template.ChangeMode == "signal":
        if not template.ChangeSignal:
            errors.append("Must specify signal value when change mode is signal")
        if template.Envvars:
            errors.append("cannot use signals with env var templates")
    elif template.ChangeMode == "script" and template.ChangeScript is None:
        errors.append("must specify change script configuration value when change mode is script")
    if template.Splay < 0:
        errors.append("Must specify positive splay value")
    if not re.fullmatch(r"[0-7]{1,6}", template.Perms):
        errors.append(f'Failed to parse "{template.Perms}" as octal')
    if template.Wait is not None and template.Wait.Min > template.Wait.Max:
        errors.append(
            f"wait min {format_duration(template.Wait.Min)} is greater than max {format_duration(template.Wait.Max)}"
        )
    return errors


def escapes(path: str) -> bool:
    """Whether a path inside the allocation would lead out of it; the task's folder is one level below."""
    if "${" in path:
        path = re.sub(r"\$\{[^}]*\}", "x", path)
    return posixpath.normpath(posixpath.join("alloc/task", path.lstrip("/"))).split("/")[0] != "alloc"


def _mount_errors(task: Task, group: TaskGroup) -> list[str]:
    errors: list[str] = []
    for i, mount in enumerate(task.VolumeMounts or []):
        if mount.Volume not in (group.Volumes or {}):
            errors.append(f"Volume Mount ({i}) references undefined volume {mount.Volume}")
        if not mount.Destination:
            errors.append(f"Volume Mount ({i}) has no destination")
        if mount.PropagationMode not in {"private", "host-to-task", "bidirectional"}:
            errors.append(f'Volume Mount ({i}) has an invalid propagation mode: "{mount.PropagationMode}"')
    return errors
