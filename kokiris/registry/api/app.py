"""The registry's public door, behind the VIP: `/token` for clients, `/api/v1/…` for the client's operators."""

from __future__ import annotations

from typing import Any

import falcon.asgi

from kokiris.http.app import make_app
from kokiris.registry.api.token import TokenEndpoint
from kokiris.registry.tokenserver import TokenServer

App = falcon.asgi.App[Any, Any]


def make_registry_app(tokens: TokenServer) -> App:
    """Serve `kokiris.http.app.asgi(app)` on loopback; TLS is HAProxy's part."""
    app = make_app()
    app.add_route("/token", TokenEndpoint(tokens))
    return app
