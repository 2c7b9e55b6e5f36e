"""The panel's HTTP door: `/api/…` as Traefik's, `/ping`, `/dashboard/`, and `/api/explain`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import falcon.asgi

import kokiris
from kokiris.http.app import TEXT_TYPE, asgi, make_app, send_json
from kokiris.http.pages import Frame
from kokiris.http.serve import AsgiApp
from kokiris.http.signin import SignIn, Verify
from kokiris.kernel.clock import rfc3339
from kokiris.kernel.errors import KokirisError, NotFound
from kokiris.routing.api import page, views
from kokiris.routing.api.access import PanelAccess
from kokiris.routing.api.certificates import CertificateShapes
from kokiris.routing.api.explain import explain
from kokiris.routing.api.gatedoor import GateSignIn, GateSignOut
from kokiris.routing.api.listing import page_of
from kokiris.routing.certificates import CertificateStore
from kokiris.routing.edge import EdgeStatus
from kokiris.routing.gate import DOOR, Gate

Shapes = Callable[[], list[dict[str, Any]]]

PAGE_ROWS = 200
COOKIE = "kokiris_panel"


class Panel:
    """What the resources below share."""

    def __init__(
        self,
        *,
        frame: Frame,
        entry_points: dict[str, str],
        status: Callable[[], EdgeStatus],
        certificates: CertificateStore,
        verify: Verify,
        gate: Gate | None = None,
        gate_verify: Verify | None = None,
    ) -> None:
        """`gate` with `gate_verify`: who may see phpMyAdmin, asked at `/.kokiris/sign-in` of its address."""
        self.frame = frame
        self.gate = gate
        self.gate_verify = gate_verify
        self.entry_points = [
            {"name": name, "address": address, "provider": "kokiris", "status": "enabled"}
            for name, address in entry_points.items()
        ]
        self.status = status
        sign_in = SignIn(frame, verify, here=page.HERE, title=page.TITLE, cookie=COOKIE, path="/dashboard/")
        self.access = PanelAccess(sign_in, verify)
        self.started = rfc3339(time.time_ns())
        self._certificates = certificates
        self._shapes = CertificateShapes()

    def certificates(self) -> list[dict[str, Any]]:
        """All that are served, the default first."""
        paths = [self._certificates.path_of(""), *self._certificates.have().values()]
        return self._shapes.of(paths)

    def routers(self, protocol: str = "http") -> list[dict[str, Any]]:
        now = self.status()
        return views.routers(now.configuration, now.plan, protocol)

    def services(self) -> list[dict[str, Any]]:
        now = self.status()
        return views.services(now.configuration, now.plan)

    def overview(self) -> dict[str, Any]:
        now = self.status()
        overview = views.overview(now.configuration, now.plan, self.certificates())
        overview["problems"] += [
            {"service": name or "platform", "severity": "warning", "text": f"no certificate yet: {reason}"}
            for name, reason in sorted(self._certificates.failures.items())
        ]
        return overview


class Document:
    """One JSON document."""

    def __init__(self, panel: Panel, content: Callable[[falcon.asgi.Request], Any]) -> None:
        self._panel = panel
        self._content = content

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        await self._panel.access.require(req)
        send_json(req, resp, self._content(req))


class Listing:
    """A list in pages, and each of its items by name."""

    def __init__(self, panel: Panel, kind: str, items: Shapes) -> None:
        self._panel = panel
        self._kind = kind
        self._items = items

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        await self._panel.access.require(req)
        query = {name: value[0] if isinstance(value, list) else value for name, value in req.params.items()}
        found = page_of(self._items(), query)
        resp.set_header("X-Next-Page", str(found.next_page))
        send_json(req, resp, found.items)

    async def on_get_one(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        await self._panel.access.require(req)
        found = next((item for item in self._items() if item["name"] == name), None)
        if found is None:
            raise NotFound(f"{self._kind} not found: {name}")
        send_json(req, resp, found)


class Dashboard:
    """The page, or the way to the form that asks for the token."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        sign_in = self._panel.access.sign_in
        sign_in.require(req)
        search = req.get_param("search", default="") or ""
        query = {"search": search, "per_page": str(PAGE_ROWS)}
        certificates = self._panel.certificates()
        content = page.dashboard(
            self._panel.overview(),
            page_of(self._panel.routers() + self._panel.routers("tcp") + self._panel.routers("udp"), query).items,
            page_of(self._panel.services(), query).items,
            [one for one in certificates if search.lower() in " ".join(one["sans"])][:PAGE_ROWS],
            search=search,
            haproxy_error=self._panel.status().haproxy_error,
        )
        sign_in.send(resp, page.TITLE, content)


class Redirect:
    """To the dashboard, whose address ends with a slash."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.status = 302
        resp.location = "/dashboard/"


class Ping:
    """Open to everybody: it says only that the edge runs."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.content_type = TEXT_TYPE
        resp.text = "OK"

    on_head = on_get


def _json_error(resp: falcon.asgi.Response, error: KokirisError) -> None:
    """Traefik's form: `{"message": …}`; the next step is ours."""
    resp.status = error.http_status
    resp.media = {"message": error.message, "nextStep": error.next_step}


def panel_app(panel: Panel) -> AsgiApp:
    """The whole door."""
    app = make_app(_json_error)

    def listing(path: str, kind: str, items: Shapes) -> None:
        resource = Listing(panel, kind, items)
        app.add_route(path, resource)
        app.add_route(f"{path}/{{name}}", resource, suffix="one")

    def status() -> EdgeStatus:
        return panel.status()

    listing("/api/entrypoints", "entry point", lambda: panel.entry_points)
    listing("/api/http/routers", "router", panel.routers)
    listing("/api/http/services", "service", panel.services)
    listing("/api/http/middlewares", "middleware", list)
    listing("/api/tcp/routers", "router", lambda: panel.routers("tcp"))
    listing("/api/tcp/services", "service", list)
    listing("/api/tcp/middlewares", "middleware", list)
    listing("/api/udp/routers", "router", lambda: panel.routers("udp"))
    listing("/api/udp/services", "service", list)
    listing("/api/certificates", "certificate", panel.certificates)
    version = {"Version": kokiris.__version__, "Codename": "kokiris", "startDate": panel.started}
    for path, content in (
        ("/api/overview", lambda _: panel.overview()),
        ("/api/version", lambda _: version),
        ("/api/rawdata", lambda _: views.raw_data(status().configuration, status().plan)),
        ("/api/explain", lambda req: explain(req.get_param("url", default="") or "", status().configuration)),
    ):
        app.add_route(path, Document(panel, content))
    if panel.gate is not None and panel.gate_verify is not None:
        app.add_route(f"{DOOR}sign-in", GateSignIn(panel.frame, panel.gate, panel.gate_verify))
        app.add_route(f"{DOOR}sign-out", GateSignOut(panel.frame, panel.gate))
    app.add_route("/ping", Ping())
    app.add_route("/", Redirect())
    app.add_route("/dashboard", Redirect())
    app.add_route("/dashboard/", Dashboard(panel))
    panel.access.sign_in.add_routes(app)
    return asgi(app)
