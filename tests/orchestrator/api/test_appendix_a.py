"""Golden shapes: every struct we answer with has exactly the fields Nomad's own clients know (Appendix A)."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from kokiris.orchestrator.api import requests, responses
from kokiris.orchestrator.model import (
    alloc,
    allocwire,
    deployment,
    evaluation,
    infra,
    job,
    metric,
    node,
    policy,
    resources,
    service,
    summary,
    task,
)

MODULES = (
    responses, requests, allocwire, deployment, evaluation, infra, job, metric, node, policy, resources, service,
    summary, task, alloc,
)  # fmt: skip
NAMES = {
    "PlanAnnotations": "Annotations",
    "AllocatedResources": "AllocResources",
    "RescheduleTracker": "RescheduleHistory",
    "DesiredTransition": "Transition",
    "Resources": "TaskResources",
    "NodeResources": "NodeCapacity",
    "SchedulerConfiguration": "SchedulerConfig",
    "PreemptionConfig": "Preemption",
    "Namespace": "NamespaceWire",
    "ACLTokenListStub": "ACLToken",
    "DrainStrategy": "DrainStrategySpec",
    "DrainSpec": "DrainRequestSpec",
    "RestartPolicy": "RestartPolicySpec",
    "ReschedulePolicy": "ReschedulePolicySpec",
    "EphemeralDisk": "EphemeralDiskSpec",
    "CheckRestart": "CheckRestartSpec",
    "LogConfig": "LogConfigSpec",
    "ChangeScript": "ChangeScriptSpec",
    "Vault": "VaultSpec",
    "SpreadTarget": "SpreadTargetSpec",
    "Multiregion": "MultiregionSpec",
    "Deployment": "Deployment",
}
DEPRECATED = {("Resources", "IOPS"), ("NetworkResource", "MBits"), ("ACLToken", "ExpirationTTL")}
"""Fields that Nomad itself no longer fills in, or leaves out when they are empty, as they always are here."""
ABSENT = {
    "JobDispatchRequest", "JobDispatchResponse", "BootstrapRequest", "OneTimeToken", "OneTimeTokenExchangeResponse",
    "Variable", "VariableMetadata", "VariableLock", "HostVolume", "HostVolumeStub", "ACLPolicy", "ACLPolicyListStub",
    "ACLRole", "ACLRoleListStub", "ACLAuthMethod", "ACLBindingRule", "ACLTokenRoleLink", "RootKeyMeta",
    "ScalingPolicyListStub",
}  # fmt: skip
"""Parts of the API that this version refuses by name."""
ELSEWHERE = {
    "AllocResourceUsage", "TaskResourceUsage", "ResourceUsage", "MemoryStats", "CpuStats", "AllocFileInfo",
    "StreamFrame", "ExecStreamingInput", "ExecStreamingOutput", "ExecStreamingIOOperation", "ExecStreamingExitResult",
    "TerminalSize", "HostStats", "HostMemoryStats", "HostCPUStats", "HostDiskStats", "NodeMetaResponse",
    "JobDiff", "TaskGroupDiff", "TaskDiff", "ObjectDiff", "FieldDiff",
    "AgentSelf", "ServerMembers", "AgentMember", "AgentHealthResponse", "RaftConfiguration", "RaftServer",
    "AutopilotConfiguration", "OperatorHealthReply", "ServerHealth", "MetricsSummary", "Event", "FuzzySearchRequest",
    "FuzzySearchResponse", "NamespaceCapabilities", "NodePoolSchedulerConfiguration", "JobVersionsResponse",
    "JobValidateRequest", "NodePurgeResponse", "NodeDrainUpdateResponse", "NodeEligibilityUpdateResponse",
    "DeploymentPromoteRequest", "DeploymentAllocHealthRequest",
}  # fmt: skip
"""Made by the worker, by the diff, or answered as plain objects (checked where they are answered)."""


def golden():
    lines = (Path(__file__).parent / "appendix_a.txt").read_text().splitlines()
    for line in lines:
        name, _, rest = re.fullmatch(r"- `(\w+)`(: )(.*)", line).groups()
        if name not in ABSENT | ELSEWHERE:
            yield name, [part.split()[0].rstrip("?") for part in rest.split(", ")]


@pytest.mark.parametrize(("name", "fields"), [pytest.param(*one, id=one[0]) for one in golden()])
def test_fields_are_nomads(name, fields):
    wanted = NAMES.get(name, name)
    found = next((getattr(module, wanted) for module in MODULES if hasattr(module, wanted)), None)
    assert found is not None, f"{name} has no struct"
    ours = {field.encode_name for field in msgspec.structs.fields(found)}
    missing = [
        field for field in fields if field not in ours and (name, field) not in DEPRECATED and not field.startswith("+")
    ]
    assert not missing
    if "+QueryMeta" in fields or "+WriteMeta" in fields:
        assert "Index" in ours
