"""Run by Debian's own Python with its python3-consul2: what a program that elects a leader does. Prints JSON.

usage: consul2_session.py PORT   (the token is in CONSUL_HTTP_TOKEN)
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import consul


def elect(client: Any) -> dict[str, Any]:
    """As Patroni: a session without checks, its key deleted with it; two that want the lock, one that gets it."""
    told: dict[str, Any] = {}
    first, second = (
        client.session.create(name=name, checks=[], ttl=10, behavior="delete", lock_delay=0) for name in ("a", "b")
    )
    told["got"] = client.kv.put("service/db/leader", "a", acquire=first)
    told["refused"] = client.kv.put("service/db/leader", "b", acquire=second)
    told["renewed"] = client.session.renew(first)["ID"] == first
    index, found = client.kv.get("service/db/", recurse=True, consistency="consistent")
    told["leader"] = {entry["Key"]: (entry["Value"].decode(), entry["Session"] == first) for entry in found}
    client.session.destroy(first)
    later, gone = client.kv.get("service/db/leader", index=index, wait="5s")
    told["after"] = [gone, int(later) > int(index)]
    told["taken over"] = client.kv.put("service/db/leader", "b", acquire=second)
    told["stale write"] = client.kv.put("service/db/leader", "c", cas=1)
    told["released"] = client.kv.put("service/db/leader", "b", release=second)
    told["tree removed"] = client.kv.delete("service/db/", recurse=True)
    client.session.destroy(second)
    return told


def register(client: Any) -> dict[str, Any]:
    """A service that looks after its own check."""
    told: dict[str, Any] = {}
    told["registered"] = client.agent.service.register(
        "db", service_id="db-1", address="10.1.1.1", port=5432, tags=["primary"], meta={"v": "15"},
        check=consul.Check.ttl("10s"),
    )  # fmt: skip
    client.agent.check.ttl_pass("service:db-1", "ready")
    _, healthy = client.health.service("db", passing=True, tag="primary")
    told["healthy"] = [(entry["Service"]["Address"], entry["Service"]["Port"]) for entry in healthy]
    told["services"] = client.catalog.services()[1]
    told["leader"] = client.status.leader()
    client.agent.service.deregister("db-1")
    told["left"] = client.catalog.service("db")[1]
    return told


if __name__ == "__main__":
    made = consul.Consul(host="127.0.0.1", port=int(sys.argv[1]), token=os.environ["CONSUL_HTTP_TOKEN"])
    sys.stdout.write(json.dumps({"elect": elect(made), "register": register(made)}))
