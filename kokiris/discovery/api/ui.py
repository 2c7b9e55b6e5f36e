"""/ui/: services, instances, checks and key names on one plain page, for who is signed in."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from kokiris.discovery.catalog import Catalog
from kokiris.http.pages import Markup, SignIn, marked, section, send_page, table
from kokiris.http.tokens import Authenticator

SHOWN_KEYS = 500
TITLE = "Service discovery"


def add_pages(app: falcon.asgi.App[Any, Any], catalog: Catalog, authenticator: Authenticator) -> None:
    """Adds `/`, `/ui`, `/ui/` and the sign-in."""
    sign_in = SignIn(authenticator, title=TITLE, cookie="kokiris_consul")
    sign_in.add_routes(app)
    app.add_route("/", _ToPages(sign_in.path))
    app.add_route("/ui", _ToPages(sign_in.path))
    app.add_route("/ui/", _Overview(catalog, sign_in))


class _ToPages:
    def __init__(self, path: str) -> None:
        self._path = path

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        raise falcon.HTTPFound(self._path)


class _Overview:
    def __init__(self, catalog: Catalog, sign_in: SignIn) -> None:
        self._catalog = catalog
        self._sign_in = sign_in

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._sign_in.require(req)
        send_page(resp, TITLE, overview(self._catalog), sign_out=self._sign_in.sign_out_path)


def overview(catalog: Catalog) -> Markup:
    """The page's content."""
    services = []
    for name, tags in catalog.service_tags().items():
        states = [catalog.status_of(one) for one in catalog.instances_of(name)]
        services.append((name, f"{states.count('passing')} of {len(states)} passing", ", ".join(tags)))
    instances, checks = [], []
    for _, one in sorted(catalog.instances.items(), key=lambda item: (item[1].Service, item[0])):
        address = f"{catalog.address_of(one)}:{one.Port}"
        instances.append((one.Service, one.ID, one.Node, address, marked(catalog.status_of(one))))
        checks += [(one.Service, check.Name, marked(check.Status), check.Output) for check in one.Checks]
    nodes = [(entry.Node, entry.Address, marked(entry.Status)) for _, entry in sorted(catalog.nodes.items())]
    keys = catalog.kv.keys_under("")
    shown = [(name,) for name in keys[:SHOWN_KEYS]]
    title = "Keys" if len(keys) <= SHOWN_KEYS else f"Keys ({SHOWN_KEYS} of {len(keys)})"
    return Markup(
        section("Services", table(("Service", "Instances", "Tags"), services))
        + section("Instances", table(("Service", "Id", "Node", "Address", "Health"), instances))
        + section("Checks", table(("Service", "Check", "Result", "Output"), checks))
        + section("Nodes", table(("Node", "Address", "Health"), nodes))
        + section(title, table(("Key",), shown))
    )
