"""What clients and shippers ask before they begin, and nothing here depends on: mostly constant answers. Pure."""

from __future__ import annotations

import re
from typing import Any

from kokiris.logs.api.call import Call, Reply

VERSION = "8.19.0"
"""A high 8.x: Filebeat 8.1 to 8.10 refuses servers older than itself."""
LUCENE_VERSION = "9.12.2"
TAGLINE = "You Know, for Search"
ACKNOWLEDGED = {"acknowledged": True}


def info(cluster: str) -> dict[str, Any]:
    """`GET /`."""
    return {
        "name": "kokiris",
        "cluster_name": cluster,
        "cluster_uuid": "kokiris-logs",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "docker",
            "build_hash": "0",
            "build_date": "2025-07-23T00:00:00.000Z",
            "build_snapshot": False,
            "lucene_version": LUCENE_VERSION,
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": TAGLINE,
    }


LICENSE = {
    "license": {
        "status": "active",
        "uid": "00000000-0000-0000-0000-000000000000",
        "type": "basic",
        "issue_date": "2025-01-01T00:00:00.000Z",
        "issue_date_in_millis": 1735689600000,
        "expiry_date_in_millis": 4102444800000,
        "max_nodes": 1000,
        "issued_to": "kokiris",
        "issuer": "kokiris",
        "start_date_in_millis": -1,
    }
}
XPACK = {
    "build": {"hash": "0", "date": "2025-07-23T00:00:00.000Z"},
    "license": {"uid": "00000000-0000-0000-0000-000000000000", "type": "basic", "mode": "basic", "status": "active"},
    "features": {"ilm": {"available": True, "enabled": True}, "security": {"available": True, "enabled": True}},
    "tagline": TAGLINE,
}


def health(cluster: str, warning: str) -> dict[str, Any]:
    """Yellow while ingest is refused: red would keep readers away."""
    return {
        "cluster_name": cluster,
        "status": "yellow" if warning else "green",
        "timed_out": False,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": 1,
        "active_shards": 1,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
        **({"warning": warning} if warning else {}),
    }


SETTINGS: dict[str, Any] = {"persistent": {}, "transient": {}}
"""`GET /_cluster/settings`."""
_SETUP = re.compile(
    r"/_(?:ilm/policy|index_template|template|component_template|ingest/pipeline|data_stream|logstash/pipeline)(?:/.*)?"
)
_LISTS = {
    "/_index_template": "index_templates",
    "/_component_template": "component_templates",
    "/_data_stream": "data_streams",
}


def set_up(call: Call) -> Reply | None:
    """Templates, policies, pipelines and data streams: taken and needless here, so each "exists". None: not that."""
    if not _SETUP.fullmatch(call.path):
        return None
    if call.method in {"PUT", "POST", "DELETE"}:
        return Reply(ACKNOWLEDGED)
    kind = "/" + call.path.split("/")[1]
    if kind == "/_data_stream" and call.path != kind:
        name = call.path.rpartition("/")[2]
        return Reply({"data_streams": [{"name": name, "timestamp_field": {"name": "@timestamp"}, "status": "GREEN"}]})
    return Reply({_LISTS[kind]: []} if kind in _LISTS else {})
