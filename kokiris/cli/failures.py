"""Why a deployment failed, where the user is looking: the event that ended each task, and its last words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kokiris.cli.client import Client
from kokiris.kernel.errors import KokirisError
from kokiris.orchestrator.telling import telling_event

SHOWN_ALLOCATIONS = 3
LAST_LINES = 5


def failure_lines(client: Client, deployment_id: str) -> Iterator[str]:
    """At most a few allocations: what happened to their tasks, failing checks, and the end of their standard error."""
    stubs = client.get(f"/v1/deployment/allocations/{deployment_id}").data
    unhealthy = [stub for stub in stubs if (stub.get("DeploymentStatus") or {}).get("Healthy") is not True]
    for stub in unhealthy[:SHOWN_ALLOCATIONS]:
        yield f'\nAllocation "{stub["ID"][:8]}" is not healthy:'
        for task, state in sorted((stub.get("TaskStates") or {}).items()):
            event = telling_event(state)
            if event:
                yield f'  * task "{task}": {event["Type"]}: {event["DisplayMessage"]}'
            yield from (f"      {line}" for line in _last_words(client, stub["ID"], task, state))
        yield from (f"  * {line}" for line in _failing_checks(client, stub["ID"]))
        yield f"    (kokiris alloc status {stub['ID'][:8]} shows all of it)"


def _last_words(client: Client, alloc_id: str, task: str, state: dict[str, Any]) -> list[str]:
    if state["StartedAt"].startswith("0001"):
        return []
    parameters = {"task": task, "type": "stderr", "plain": "true", "origin": "end", "offset": 4096, "follow": "false"}
    try:
        text = b"".join(client.stream(f"/v1/client/fs/logs/{alloc_id}", parameters)).decode(errors="replace")
    except KokirisError:  # its log may be gone; what happened is told above
        return []
    return text.splitlines()[-LAST_LINES:]


def _failing_checks(client: Client, alloc_id: str) -> list[str]:
    try:
        checks = client.get(f"/v1/client/allocation/{alloc_id}/checks").data or {}
    except KokirisError:
        return []
    failing = [check for check in checks.values() if check["Status"] == "failure"]
    return [f'check "{check["Check"]}" of service "{check["Service"]}": {check["Output"][:200]}' for check in failing]
