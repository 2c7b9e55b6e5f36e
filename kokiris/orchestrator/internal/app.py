"""Composition of the internal API: the orchestrator's part, and what other packages mount beside it."""

from __future__ import annotations

from typing import Any

import falcon.asgi

from kokiris.http.app import make_app
from kokiris.orchestrator.internal.assignments import AllocReports, AssignedAllocations, Assignments
from kokiris.orchestrator.internal.nodes import Heartbeat, NodeRegistration
from kokiris.orchestrator.internal.ports import OrchestratorCore

App = falcon.asgi.App[Any, Any]


def make_internal_app(core: OrchestratorCore) -> App:
    """Serve `kokiris.http.app.asgi(app)` on the mutual-TLS listener only. Add further routes before serving."""
    app = make_app()
    add_routes(app, core)
    return app


def add_routes(app: App, core: OrchestratorCore) -> None:
    """The orchestrator's part of the internal API."""
    app.add_route("/internal/v1/node/{node_id}", NodeRegistration(core))
    app.add_route("/internal/v1/node/{node_id}/heartbeat", Heartbeat(core))
    app.add_route("/internal/v1/node/{node_id}/assignments", Assignments(core))
    app.add_route("/internal/v1/node/{node_id}/allocs", AllocReports(core))
    app.add_route("/internal/v1/assignments", AssignedAllocations(core))
