"""Following an evaluation and its deployment until they end, as `nomad job run` shows them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from kokiris.cli.client import BLOCKING_TIMEOUT_S, Client
from kokiris.cli.failures import failure_lines
from kokiris.cli.output import say, short, table, when
from kokiris.kernel.clock import parse_rfc3339_ns

PLACEMENT_FAILURE = 2
"""Exit code when something could not be placed, as Nomad's."""

FINAL = frozenset({"complete", "failed", "canceled"})
DEPLOYMENT_FINAL = frozenset({"successful", "failed", "cancelled", "blocked"})


@dataclass(slots=True)
class Monitor:
    """Prints each change once. `verbose` shows whole ids."""

    client: Client
    verbose: bool = False
    _seen: set[str] = field(default_factory=set)
    _status: str = ""

    def follow(self, eval_id: str, *, with_deployment: bool = True) -> int:
        """Follows the evaluation, those that came of it, and the deployment. The exit code: 0, 1, or 2."""
        self._title(f'Monitoring evaluation "{self._short(eval_id)}"')
        evaluation = self._until_final(eval_id)
        self._title(f'Evaluation "{self._short(eval_id)}" finished with status "{evaluation["Status"]}"')
        code = self._failures(evaluation)
        if evaluation["Status"] == "failed":
            self._line(f"Evaluation failed: {evaluation.get('StatusDescription', '')}")
            return 1
        if not with_deployment:
            return code
        deployment_id = evaluation.get("DeploymentID") or self._deployment_of(evaluation)
        if deployment_id and code == 0:
            return self.follow_deployment(deployment_id)
        return code

    def _until_final(self, eval_id: str) -> dict[str, Any]:
        index = 0
        first = True
        while True:
            answer = self.client.get(
                f"/v1/evaluation/{eval_id}", {"index": index or "", "wait": "60s"}, timeout_s=BLOCKING_TIMEOUT_S
            )
            evaluation: dict[str, Any] = answer.data
            if first:
                self._line(f'Evaluation triggered by job "{evaluation["JobID"]}"')
                first = False
            self._allocations(self.client.get(f"/v1/evaluation/{eval_id}/allocations").data)
            if evaluation["Status"] != self._status:
                if self._status:
                    self._line(f'Evaluation status changed: "{self._status}" -> "{evaluation["Status"]}"')
                self._status = evaluation["Status"]
            if evaluation["Status"] in FINAL:
                return evaluation
            index = answer.index

    def _allocations(self, stubs: list[dict[str, Any]]) -> None:
        for stub in stubs:
            if stub["ID"] not in self._seen:
                self._seen.add(stub["ID"])
                where = f'node "{self._short(stub["NodeID"])}", group "{stub["TaskGroup"]}"'
                self._line(f'Allocation "{self._short(stub["ID"])}" created: {where}')

    def _failures(self, evaluation: dict[str, Any]) -> int:
        failed = evaluation.get("FailedTGAllocs") or {}
        for group, metric in failed.items():
            unplaced = metric.get("CoalescedFailures", 0) + 1
            self._line(f'Task Group "{group}" (failed to place {unplaced} allocation{"s" if unplaced > 1 else ""}):')
            for reason in placement_reasons(metric):
                say(f"      * {reason}")
        if failed and evaluation.get("StatusDescription"):
            for line in evaluation["StatusDescription"].splitlines():
                say(f"      {line}")
        if evaluation.get("BlockedEval"):
            blocked = self._short(evaluation["BlockedEval"])
            self._line(f'Evaluation "{blocked}" waiting for additional capacity to place remainder')
        return PLACEMENT_FAILURE if failed else 0

    def _deployment_of(self, evaluation: dict[str, Any]) -> str:
        """The deployment that the evaluation's plan made: it is known to the job, not to the evaluation."""
        from kokiris.cli.session import job_path  # noqa: PLC0415 - session imports the client as we do

        parameters = {"namespace": evaluation.get("Namespace", "")}
        deployment = self.client.get(job_path(evaluation["JobID"], "/deployment"), parameters).data
        if deployment and deployment["JobModifyIndex"] >= evaluation.get("JobModifyIndex", 0):
            return str(deployment["ID"]) if deployment["Status"] not in DEPLOYMENT_FINAL else ""
        return ""

    def follow_deployment(self, deployment_id: str) -> int:
        """Follows a deployment until it ends; 0 when it was successful."""
        self._title(f'Monitoring deployment "{self._short(deployment_id)}"')
        index, last = 0, ""
        while True:
            answer = self.client.get(
                f"/v1/deployment/{deployment_id}", {"index": index or "", "wait": "60s"}, timeout_s=BLOCKING_TIMEOUT_S
            )
            deployment, index = answer.data, answer.index
            progress = ", ".join(
                f"{name} {group['HealthyAllocs']}/{group['DesiredTotal']} healthy"
                + (f", {group['UnhealthyAllocs']} unhealthy" if group["UnhealthyAllocs"] else "")
                for name, group in sorted((deployment["TaskGroups"] or {}).items())
            )
            if progress != last:
                self._line(progress)
                last = progress
            if deployment["Status"] in DEPLOYMENT_FINAL:
                break
            if "manual promotion" in deployment["StatusDescription"] and _canaries_healthy(deployment):
                promote = f"kokiris deployment promote {self._short(deployment_id)}"
                self._line(f"canaries are healthy; promote them with `{promote}`")
                return 0
        self._title(
            f'Deployment "{self._short(deployment_id)}" {deployment["Status"]}: {deployment["StatusDescription"]}'
        )
        say(deployment_table(deployment))
        if deployment["Status"] == "successful":
            return 0
        for line in failure_lines(self.client, deployment_id):
            say(line)
        return 1

    def _short(self, identifier: str) -> str:
        return short(identifier, whole=self.verbose)

    def _title(self, text: str) -> None:
        say(f"==> {when(time.time_ns())}: {text}")

    def _line(self, text: str) -> None:
        say(f"    {when(time.time_ns())}: {text}")


def _canaries_healthy(deployment: dict[str, Any]) -> bool:
    return all(
        group["HealthyAllocs"] >= group["DesiredCanaries"] > 0
        for group in (deployment["TaskGroups"] or {}).values()
        if group["DesiredCanaries"] and not group["Promoted"]
    )


def deployment_table(deployment: dict[str, Any]) -> str:
    """The groups of a deployment, as `nomad deployment status` shows them. Pure."""
    groups = sorted((deployment["TaskGroups"] or {}).items())
    reverts = any(group["AutoRevert"] for _, group in groups)
    canaries = any(group["DesiredCanaries"] for _, group in groups)
    rows: list[tuple[object, ...]] = [
        (
            "Task Group", *(("Auto Revert",) if reverts else ()), *(("Promoted",) if canaries else ()), "Desired",
            *(("Canaries",) if canaries else ()), "Placed", "Healthy", "Unhealthy", "Progress Deadline",
        )
    ]  # fmt: skip
    for name, group in groups:
        promoted = str(group["Promoted"]).lower() if group["DesiredCanaries"] else "N/A"
        rows.append(
            (
                name, *((str(group["AutoRevert"]).lower(),) if reverts else ()), *((promoted,) if canaries else ()),
                group["DesiredTotal"], *((group["DesiredCanaries"],) if canaries else ()), group["PlacedAllocs"],
                group["HealthyAllocs"], group["UnhealthyAllocs"], _instant(group["RequireProgressBy"]),
            )
        )  # fmt: skip
    return table(rows)


def _instant(rfc3339: str) -> str:
    """To the second; "N/A" before there is one."""
    return "N/A" if not rfc3339 or rfc3339.startswith("0001") else when(parse_rfc3339_ns(rfc3339))


MISSING_VOLUME = " (each folder below `volumes` in a node's data folder is a host volume of its name)"


def placement_reasons(metric: dict[str, Any]) -> list[str]:
    """Nomad's wording of why a group was not placed. Pure."""
    reasons = []
    if not metric.get("NodesEvaluated"):
        reasons.append("No nodes were eligible for evaluation")
    for datacenter, available in (metric.get("NodesAvailable") or {}).items():
        if not available:
            reasons.append(f'No nodes are available in datacenter "{datacenter}"')
    for name, count in (metric.get("ClassFiltered") or {}).items():
        reasons.append(f'Class "{name}": {count} nodes excluded by filter')
    for constraint, count in (metric.get("ConstraintFiltered") or {}).items():
        hint = MISSING_VOLUME if constraint == "missing host volumes" else ""
        reasons.append(f'Constraint "{constraint}": {count} nodes excluded by filter{hint}')
    if metric.get("NodesExhausted"):
        reasons.append(f"Resources exhausted on {metric['NodesExhausted']} nodes")
    for dimension, count in (metric.get("DimensionExhausted") or {}).items():
        reasons.append(f'Dimension "{dimension}" exhausted on {count} nodes')
    return reasons
