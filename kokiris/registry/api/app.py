"""The registry's public door, behind the VIP: `/token` for clients, `/api/v1/…` for the client's operators."""

from __future__ import annotations

from typing import Any

import falcon.asgi

from kokiris.http.app import make_app
from kokiris.http.pages import ALONE, Frame
from kokiris.registry.api import management
from kokiris.registry.api.page import RegistryPage
from kokiris.registry.api.token import TokenEndpoint
from kokiris.registry.api.use import Uses
from kokiris.registry.service import RegistryService

App = falcon.asgi.App[Any, Any]


def make_registry_app(service: RegistryService, frame: Frame = ALONE, address: str = "localhost") -> App:
    """Serve `kokiris.http.app.asgi(app)` on loopback; TLS is HAProxy's part. `address` is the registry's for docker."""
    app = make_app()
    app.add_route("/", RegistryPage(frame, address))
    app.add_route("/token", TokenEndpoint(service.tokens))
    app.add_route("/api/v1/accounts", management.Accounts(service))
    app.add_route("/api/v1/account/{name}", management.OneAccount(service))
    app.add_route("/api/v1/repositories", management.Repositories(service))
    app.add_route("/api/v1/tag", management.Tag(service))
    app.add_route("/api/v1/settings", management.Settings(service))
    app.add_route("/api/v1/quota", management.Quota(service))
    app.add_route("/api/v1/anonymous", management.Anonymous(service))
    app.add_route("/api/v1/retention", management.Retention(service))
    app.add_route("/api/v1/schedule", management.Schedule(service))
    app.add_route("/api/v1/use", Uses(service))
    app.add_route("/api/v1/gc", management.Garbage(service))
    return app
