"""The node API, put together. Served with mutual TLS only: who gets in is a process of the infra."""

from __future__ import annotations

from typing import Any

import falcon.asgi

from kokiris.http.app import make_app
from kokiris.worker.allocations import Allocations
from kokiris.worker.node_api.allocation import AllocationCalls, HostCalls
from kokiris.worker.node_api.execution import Execution
from kokiris.worker.node_api.files import Files
from kokiris.worker.surroundings import Surroundings


def make_node_app(allocations: Allocations, around: Surroundings) -> falcon.asgi.App[Any, Any]:
    """Serve `kokiris.http.app.asgi(app)`."""
    app = make_app()
    app.add_route("/v1/client/fs/{verb}/{alloc_id}", Files(allocations))
    app.add_route("/v1/client/allocation/{alloc_id}/exec", Execution(allocations, around))
    app.add_route("/v1/client/allocation/{alloc_id}/{verb}", AllocationCalls(allocations, around))
    app.add_route("/v1/client/stats", HostCalls(around))
    return app
