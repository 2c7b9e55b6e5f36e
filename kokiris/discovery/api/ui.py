"""/ui/: services, instances, checks and key names on one plain page, for who is signed in."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from kokiris.discovery.catalog import Catalog
from kokiris.http.pages import Frame, Markup, code, commands, joined, marked, section, table
from kokiris.http.signin import SignIn
from kokiris.http.tokens import Authenticator, Principal

SHOWN_KEYS = 500
HERE, TITLE = "consul", "Service discovery"


def add_pages(app: falcon.asgi.App[Any, Any], catalog: Catalog, authenticator: Authenticator, frame: Frame) -> None:
    """Adds `/`, `/ui` and all below it: the addresses of Consul's own pages lead to this one."""

    async def known(secret: str) -> Principal | None:
        return authenticator.authenticate(secret)

    sign_in = SignIn(frame, known, here=HERE, title=TITLE, cookie="kokiris_consul")
    sign_in.add_routes(app)
    for path in ("/", "/ui"):
        app.add_route(path, _ToPage(sign_in.path))
    app.add_route("/ui/{path:path}", _Page(catalog, sign_in))


class _ToPage:
    def __init__(self, path: str) -> None:
        self._path = path

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        raise falcon.HTTPFound(self._path)


class _Page:
    def __init__(self, catalog: Catalog, sign_in: SignIn) -> None:
        self._catalog = catalog
        self._sign_in = sign_in

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, path: str) -> None:
        self._sign_in.require(req)
        if path:
            raise falcon.HTTPSeeOther(self._sign_in.path)
        self._sign_in.send(resp, TITLE, overview(self._catalog))


def overview(catalog: Catalog) -> Markup:
    """The page's content."""
    services = []
    for name, tags in catalog.service_tags().items():
        states = [catalog.status_of(one) for one in catalog.instances_of(name)]
        passing = f"{states.count('passing')} of {len(states)} passing"
        services.append((code(name), passing, joined(map(code, tags))))
    instances, checks = [], []
    for _, one in sorted(catalog.instances.items(), key=lambda item: (item[1].Service, item[0])):
        address = f"{catalog.address_of(one)}:{one.Port}"
        instances.append((code(one.Service), code(address), one.Node, marked(catalog.status_of(one)), code(one.ID)))
        checks += [(code(one.Service), check.Name, marked(check.Status), check.Output) for check in one.Checks]
    nodes = [(entry.Node, code(entry.Address), marked(entry.Status)) for _, entry in sorted(catalog.nodes.items())]
    keys = catalog.kv.keys_under("")
    shown = [(code(name),) for name in keys[:SHOWN_KEYS]]
    title = "Keys" if len(keys) <= SHOWN_KEYS else f"Keys ({SHOWN_KEYS} of {len(keys)})"
    return Markup(
        section("Services", table(("Service", "Instances", "Tags"), services, "No service is registered."))
        + section("Instances", table(("Service", "Address", "Node", "Health", "Id"), instances))
        + section("Checks", table(("Service", "Check", "Result", "Output"), checks))
        + section("Nodes", table(("Node", "Address", "Health"), nodes))
        + section(title, table(("Key",), shown, "The key/value store is empty."))
        + commands(
            "From the command line: Consul's API is at this address, for whoever sends the token; DNS on port 8600",
            'eval "$(kokiris env)"      # on the node: CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT',
            'curl --cacert "$CONSUL_CACERT" -H "X-Consul-Token: $CONSUL_HTTP_TOKEN" \\',
            '  "$CONSUL_HTTP_ADDR/v1/health/service/site?passing"',
            "dig @127.0.0.1 -p 8600 site.service.consul SRV",
        )
    )
