"""Tasks and what belongs to one."""

from __future__ import annotations

from typing import Any

import msgspec

from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.model.policy import Affinity, Constraint, RestartPolicySpec
from kokiris.orchestrator.model.resources import TaskResources, VolumeMount
from kokiris.orchestrator.model.service import Service, WorkloadIdentity


class LogConfigSpec(msgspec.Struct, kw_only=True):
    """Rotation of the task's log files, per stream."""

    MaxFiles: int = 10
    MaxFileSizeMB: int = 10
    Enabled: bool = False
    Disabled: bool = False


class ChangeScriptSpec(msgspec.Struct, kw_only=True):
    """Command run when a template changes."""

    Command: str = ""
    Args: list[str] | None = None
    Timeout: int = 5 * SECOND_NS
    FailOnError: bool = False
    RunOnFirstRender: bool = False


class WaitConfig(msgspec.Struct, kw_only=True):
    """Bounds for settling before a render."""

    Min: int = 0
    Max: int = 0


class Template(msgspec.Struct, kw_only=True):
    """A file rendered into the task."""

    SourcePath: str = ""
    DestPath: str = ""
    EmbeddedTmpl: str = ""
    ChangeMode: str = "restart"
    ChangeScript: ChangeScriptSpec | None = None
    ChangeSignal: str = ""
    Once: bool = False
    Splay: int = 5 * SECOND_NS
    Perms: str = "0644"
    Uid: int = 0
    Gid: int = 0
    LeftDelim: str = "{{"
    RightDelim: str = "}}"
    Envvars: bool = False
    VaultGrace: int = 0
    Wait: WaitConfig | None = None
    ErrMissingKey: bool = False


class TaskArtifact(msgspec.Struct, kw_only=True):
    """A download into the task directory."""

    GetterSource: str = ""
    GetterOptions: dict[str, str] | None = None
    GetterHeaders: dict[str, str] | None = None
    GetterMode: str = "any"
    GetterInsecure: bool = False
    RelativeDest: str = "local/"
    Chown: bool = False


class VaultSpec(msgspec.Struct, kw_only=True):
    """Vault integration."""

    Policies: list[str] | None = None
    Role: str = ""
    Namespace: str = ""
    Cluster: str = ""
    Env: bool = False
    DisableFile: bool = False
    ChangeMode: str = ""
    ChangeSignal: str = ""
    AllowTokenExpiration: bool = False


class TaskLifecycle(msgspec.Struct, kw_only=True):
    """When a task runs relative to the main ones."""

    Hook: str = ""
    Sidecar: bool = False


class DispatchPayloadConfig(msgspec.Struct, kw_only=True):
    """Where a dispatched payload is written."""

    File: str = ""


class Action(msgspec.Struct, kw_only=True):
    """A named command that `job action` runs."""

    Name: str = ""
    Command: str = ""
    Args: list[str] | None = None


class TaskScheduleCron(msgspec.Struct, kw_only=True):
    """Cron form of a task schedule."""

    Start: str = ""
    End: str = ""
    Timezone: str = ""


class TaskSchedule(msgspec.Struct, kw_only=True):
    """When a task may run."""

    Cron: TaskScheduleCron | None = None


class Secret(msgspec.Struct, kw_only=True):
    """A secret fetched for the task."""

    Name: str = ""
    Provider: str = ""
    Path: str = ""
    Config: dict[str, Any] | None = None
    Env: dict[str, str] | None = None


class ScalingPolicy(msgspec.Struct, kw_only=True):
    """Bounds and policy for scaling a group."""

    Min: int = 0
    Max: int = 0
    Policy: dict[str, Any] | None = None
    Enabled: bool = True
    Type: str = ""
    ID: str = ""
    Namespace: str = ""
    Target: dict[str, str] | None = None
    CreateIndex: int = 0
    ModifyIndex: int = 0


class Task(msgspec.Struct, kw_only=True):
    """One container or process."""

    Name: str = ""
    Driver: str = ""
    User: str = ""
    Lifecycle: TaskLifecycle | None = None
    Config: dict[str, Any] | None = None
    Constraints: list[Constraint] | None = None
    Affinities: list[Affinity] | None = None
    Env: dict[str, str] | None = None
    Services: list[Service] | None = None
    Resources: TaskResources | None = None
    RestartPolicy: RestartPolicySpec | None = None
    Meta: dict[str, str] | None = None
    KillTimeout: int = 5 * SECOND_NS
    LogConfig: LogConfigSpec | None = None
    Artifacts: list[TaskArtifact] | None = None
    Vault: VaultSpec | None = None
    Consul: dict[str, Any] | None = None
    Templates: list[Template] | None = None
    DispatchPayload: DispatchPayloadConfig | None = None
    VolumeMounts: list[VolumeMount] | None = None
    CSIPluginConfig: dict[str, Any] | None = None
    Leader: bool = False
    ShutdownDelay: int = 0
    KillSignal: str = ""
    Kind: str = ""
    ScalingPolicies: list[ScalingPolicy] | None = None
    Secrets: list[Secret] | None = None
    Identity: WorkloadIdentity | None = None
    Identities: list[WorkloadIdentity] | None = None
    Actions: list[Action] | None = None
    Schedule: TaskSchedule | None = None
