"""The Consul API as an application: which path leads to which handler."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from kokiris.discovery.api import (
    acl,
    agent,
    agentchecks,
    agentservices,
    catalogwrites,
    event,
    health,
    kv,
    preparedquery,
    session,
    status,
    txn,
    ui,
)
from kokiris.discovery.api import catalog as catalog_api
from kokiris.discovery.api.call import Endpoint, Handler
from kokiris.discovery.api.context import AgentFacts, ApiContext
from kokiris.discovery.catalog import Catalog
from kokiris.discovery.writer import CatalogWriter
from kokiris.http.app import TEXT_TYPE, make_app
from kokiris.http.pages import ALONE, Frame
from kokiris.http.tokens import Authenticator

App = falcon.asgi.App[Any, Any]

Route = tuple[str, str, dict[str, Handler]]
"""(path, resource of its permission, method → handler)."""
PUBLIC = ""
"""In place of a resource: open without a token, as in Consul, whose clients send none there."""

ROUTES: tuple[Route, ...] = (
    ("/v1/status/leader", PUBLIC, {"get": status.leader}),
    ("/v1/status/peers", PUBLIC, {"get": status.peers}),
    ("/v1/catalog/datacenters", PUBLIC, {"get": catalog_api.datacenters}),
    ("/v1/catalog/nodes", "node", {"get": catalog_api.nodes}),
    ("/v1/catalog/services", "service", {"get": catalog_api.services}),
    ("/v1/catalog/service/{service}", "service", {"get": catalog_api.service}),
    ("/v1/catalog/connect/{service}", "service", {"get": catalog_api.connect}),
    ("/v1/catalog/gateway-services/{service}", "service", {"get": catalog_api.connect}),
    ("/v1/catalog/node/{node}", "node", {"get": catalog_api.node}),
    ("/v1/catalog/node-services/{node}", "node", {"get": catalog_api.node_services}),
    ("/v1/catalog/register", "node", {"put": catalogwrites.register}),
    ("/v1/catalog/deregister", "node", {"put": catalogwrites.deregister}),
    ("/v1/health/service/{service}", "service", {"get": health.service}),
    ("/v1/health/connect/{service}", "service", {"get": health.connect}),
    ("/v1/health/ingress/{service}", "service", {"get": health.connect}),
    ("/v1/health/checks/{service}", "service", {"get": health.checks}),
    ("/v1/health/node/{node}", "node", {"get": health.node}),
    ("/v1/health/state/{state}", "service", {"get": health.state}),
    ("/v1/agent/self", "agent", {"get": agent.self_}),
    ("/v1/agent/members", "node", {"get": agent.members}),
    ("/v1/agent/version", "agent", {"get": agent.version}),
    ("/v1/agent/host", "operator", {"get": agent.host}),
    ("/v1/agent/metrics", "agent", {"get": agent.metrics}),
    ("/v1/agent/reload", "agent", {"put": agent.reload}),
    ("/v1/agent/maintenance", "node", {"put": agentservices.node_maintenance}),
    ("/v1/agent/join/{address}", "agent", {"put": agent.not_a_gossip_cluster}),
    ("/v1/agent/leave", "agent", {"put": agent.not_a_gossip_cluster}),
    ("/v1/agent/force-leave/{node}", "operator", {"put": agent.not_a_gossip_cluster}),
    ("/v1/agent/token/{kind}", "agent", {"put": acl.refused}),
    ("/v1/agent/services", "service", {"get": agentservices.listing}),
    ("/v1/agent/service/{id}", "service", {"get": agentservices.service}),
    ("/v1/agent/service/register", "service", {"put": agentservices.register}),
    ("/v1/agent/service/deregister/{id}", "service", {"put": agentservices.deregister}),
    ("/v1/agent/service/maintenance/{id}", "service", {"put": agentservices.maintenance}),
    ("/v1/agent/health/service/id/{id}", "service", {"get": agentservices.health_by_id}),
    ("/v1/agent/health/service/name/{name}", "service", {"get": agentservices.health_by_name}),
    ("/v1/agent/checks", "service", {"get": agentchecks.listing}),
    ("/v1/agent/check/register", "service", {"put": agentchecks.register}),
    ("/v1/agent/check/deregister/{id}", "service", {"put": agentchecks.deregister}),
    ("/v1/agent/check/pass/{id}", "service", {"put": agentchecks.passed}),
    ("/v1/agent/check/warn/{id}", "service", {"put": agentchecks.warned}),
    ("/v1/agent/check/fail/{id}", "service", {"put": agentchecks.failed}),
    ("/v1/agent/check/update/{id}", "service", {"put": agentchecks.update}),
    ("/v1/agent/connect/ca/roots", "service", {"get": agent.no_mesh}),
    ("/v1/agent/connect/ca/leaf/{service}", "service", {"get": agent.no_mesh}),
    ("/v1/agent/connect/authorize", "service", {"post": agent.no_mesh, "put": agent.no_mesh}),
    ("/v1/connect/ca/roots", "service", {"get": agent.no_mesh}),
    ("/v1/connect/ca/configuration", "operator", {"get": agent.no_mesh, "put": agent.no_mesh}),
    ("/v1/connect/intentions", "service", {"get": acl.nothing, "post": agent.no_mesh}),
    ("/v1/txn", "key", {"put": txn.txn}),
    ("/v1/session/create", "session", {"put": session.create}),
    ("/v1/session/destroy/{id}", "session", {"put": session.destroy}),
    ("/v1/session/info/{id}", "session", {"get": session.info}),
    ("/v1/session/node/{node}", "session", {"get": session.on_node}),
    ("/v1/session/list", "session", {"get": session.listing}),
    ("/v1/session/renew/{id}", "session", {"put": session.renew}),
    ("/v1/event/fire/{name}", "event", {"put": event.fire}),
    ("/v1/event/list", "event", {"get": event.listing}),
    ("/v1/query", "query", {"get": preparedquery.listing, "post": preparedquery.create}),
    (
        "/v1/query/{id}",
        "query",
        {"get": preparedquery.read, "put": preparedquery.update, "delete": preparedquery.delete},
    ),
    ("/v1/query/{id}/execute", "query", {"get": preparedquery.execute}),
    ("/v1/query/{id}/explain", "query", {"get": preparedquery.explain}),
    ("/v1/acl/token/self", "acl", {"get": acl.token_self}),
    ("/v1/acl/tokens", "acl", {"get": acl.tokens}),
    ("/v1/acl/token", "acl", {"put": acl.refused}),
    ("/v1/acl/token/{id}", "acl", {"get": acl.unknown, "put": acl.refused, "delete": acl.refused}),
    ("/v1/acl/token/{id}/clone", "acl", {"put": acl.refused}),
    ("/v1/acl/bootstrap", "acl", {"put": acl.refused}),
    ("/v1/acl/policies", "acl", {"get": acl.policies}),
    ("/v1/acl/policy", "acl", {"put": acl.refused}),
    ("/v1/acl/policy/{id}", "acl", {"get": acl.policy, "put": acl.refused, "delete": acl.refused}),
    ("/v1/acl/policy/name/{id}", "acl", {"get": acl.policy}),
    ("/v1/acl/roles", "acl", {"get": acl.nothing}),
    ("/v1/acl/role", "acl", {"put": acl.refused}),
    ("/v1/acl/role/{id}", "acl", {"get": acl.unknown, "put": acl.refused, "delete": acl.refused}),
    ("/v1/acl/auth-methods", "acl", {"get": acl.nothing}),
    ("/v1/acl/binding-rules", "acl", {"get": acl.nothing}),
    ("/v1/acl/login", "acl", {"post": acl.refused}),
    ("/v1/acl/logout", "acl", {"post": acl.refused}),
    ("/v1/coordinate/nodes", "node", {"get": acl.nothing}),
    ("/v1/coordinate/datacenters", "node", {"get": acl.nothing}),
)


def make_consul_app(
    catalog: Catalog,
    writer: CatalogWriter,
    facts: AgentFacts,
    authenticator: Authenticator | None,
    frame: Frame = ALONE,
) -> App:
    """The whole API; serve `kokiris.http.app.asgi(app)`.

    `authenticator` None is for the mutual-TLS listener: everybody there is a node of the infra, and may read only.
    """
    app = make_app()
    _speak_consul_errors(app)
    context = ApiContext(catalog, writer, facts, authenticator)
    for path, resource, handlers in ROUTES:
        app.add_route(path, Endpoint(context, resource, **handlers))
    app.add_sink(kv.KvDoor(context), kv.PREFIX)
    if authenticator is not None:
        ui.add_pages(app, catalog, authenticator, frame)
    return app


def _speak_consul_errors(app: App) -> None:
    async def on_http_error(req: Any, resp: Any, error: Any, params: Any, **_: Any) -> None:
        texts = {
            404: "Invalid URL path: not a recognized HTTP API endpoint",
            405: f"method {req.method} not allowed",
        }
        resp.status = error.status
        for name, value in dict(error.headers or {}).items():
            resp.set_header(name, value)
        resp.content_type = TEXT_TYPE
        resp.text = texts.get(error.status_code, error.title or "error")

    app.add_error_handler(falcon.HTTPError, on_http_error)
