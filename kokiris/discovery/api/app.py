"""The Consul API as an application: which path leads to which handler."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from kokiris.discovery.api import catalog as catalog_api
from kokiris.discovery.api import health, status
from kokiris.discovery.api.call import Endpoint, Handler
from kokiris.discovery.api.context import AgentFacts, ApiContext
from kokiris.discovery.catalog import Catalog
from kokiris.discovery.writer import CatalogWriter
from kokiris.http.app import TEXT_TYPE, make_app
from kokiris.http.tokens import Authenticator

App = falcon.asgi.App[Any, Any]

_READS: dict[str, tuple[str, Handler]] = {
    "/v1/status/leader": ("operator", status.leader),
    "/v1/status/peers": ("operator", status.peers),
    "/v1/catalog/datacenters": ("service", catalog_api.datacenters),
    "/v1/catalog/nodes": ("node", catalog_api.nodes),
    "/v1/catalog/services": ("service", catalog_api.services),
    "/v1/catalog/service/{service}": ("service", catalog_api.service),
    "/v1/catalog/connect/{service}": ("service", catalog_api.connect),
    "/v1/catalog/gateway-services/{service}": ("service", catalog_api.connect),
    "/v1/catalog/node/{node}": ("node", catalog_api.node),
    "/v1/catalog/node-services/{node}": ("node", catalog_api.node_services),
    "/v1/health/service/{service}": ("service", health.service),
    "/v1/health/connect/{service}": ("service", health.connect),
    "/v1/health/ingress/{service}": ("service", health.connect),
    "/v1/health/checks/{service}": ("service", health.checks),
    "/v1/health/node/{node}": ("node", health.node),
    "/v1/health/state/{state}": ("service", health.state),
}


def make_consul_app(
    catalog: Catalog,
    writer: CatalogWriter,
    facts: AgentFacts,
    authenticator: Authenticator | None,
) -> App:
    """The whole API; serve `kokiris.http.app.asgi(app)`.

    `authenticator` None is for the mutual-TLS listener: everybody there is a node of the infra, and may read only.
    """
    app = make_app()
    _speak_consul_errors(app)
    context = ApiContext(catalog, writer, facts, authenticator)
    for path, (resource, handler) in _READS.items():
        app.add_route(path, Endpoint(context, resource, get=handler))
    return app


def _speak_consul_errors(app: App) -> None:
    async def on_http_error(req: Any, resp: Any, error: Any, params: Any, **_: Any) -> None:
        texts = {
            404: "Invalid URL path: not a recognized HTTP API endpoint",
            405: f"method {req.method} not allowed",
        }
        resp.status = error.status
        resp.content_type = TEXT_TYPE
        resp.text = texts.get(error.status_code, error.title or "error")
        for name, value in dict(error.headers or {}).items():
            resp.set_header(name, value)

    app.add_error_handler(falcon.HTTPError, on_http_error)
