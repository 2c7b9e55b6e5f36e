"""`/v1/metrics`: gauges of this server, as JSON or in Prometheus' text form."""

from __future__ import annotations

import resource
import time
from collections import Counter
from typing import Any, NamedTuple

from kokiris.orchestrator.api.call import ANSWERED, Call
from kokiris.orchestrator.api.tenancy import Reads


class Gauge(NamedTuple):
    """`name` in Nomad's dotted form."""

    name: str
    value: float
    labels: dict[str, str]


def gauges(state: Reads, streams: int) -> list[Gauge]:
    """What is counted: objects by status, parked queries, this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = [
        Gauge("nomad.state.revision", state.revision, {}),
        Gauge("nomad.api.parked_queries", state.topics.waiting(), {}),
        Gauge("nomad.api.event_streams", streams, {}),
        Gauge("nomad.runtime.cpu_seconds", used.ru_utime + used.ru_stime, {}),
        Gauge("nomad.runtime.peak_rss_bytes", used.ru_maxrss * 1024, {}),
        Gauge("nomad.jobs", len(state.jobs), {}),
    ]
    counted = (
        ("nomad.allocations", (alloc.ClientStatus for alloc in state.allocs.values())),
        ("nomad.evaluations", (one.Status for one in state.evals.values())),
        ("nomad.deployments", (one.Status for one in state.deployments.values())),
        ("nomad.nodes", (node.Status for node in state.nodes.values())),
    )
    for name, statuses in counted:
        counts = Counter(statuses)
        found += [Gauge(name, count, {"status": status}) for status, count in sorted(counts.items())]
    return found


async def metrics(call: Call) -> Any:
    """GET /v1/metrics[?format=prometheus]."""
    found = gauges(call.state, call.context.events.streams)
    if call.query("format") == "prometheus":
        call.resp.content_type = "text/plain; version=0.0.4; charset=utf-8"
        call.resp.text = prometheus(found)
        return ANSWERED
    return {
        "Timestamp": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime()),
        "Gauges": [{"Name": one.name, "Value": one.value, "Labels": one.labels} for one in found],
        "Points": [],
        "Counters": [],
        "Samples": [],
    }


def prometheus(found: list[Gauge]) -> str:
    """Prometheus' exposition format; dots in names become underscores."""
    lines: list[str] = []
    for one in found:
        name = one.name.replace(".", "_")
        head = f"# TYPE {name} gauge"
        if head not in lines:
            lines.append(head)
        labels = ",".join(f'{key}="{value}"' for key, value in one.labels.items())
        lines.append(f"{name}{{{labels}}} {one.value:g}" if labels else f"{name} {one.value:.15g}")
    return "\n".join(lines) + "\n"
