"""Discovery's part of the internal API (rpc listener, mutual TLS): the edges' reports and the catalog as a whole."""

from __future__ import annotations

from typing import Any

import falcon.asgi
import msgspec

from kokiris.discovery.catalog import Catalog
from kokiris.discovery.release import EdgeReport, ReleaseLedger
from kokiris.discovery.view import view
from kokiris.http.app import read_json, send_json, while_connected
from kokiris.http.blocking import block
from kokiris.kernel.errors import BadInput
from kokiris.kernel.units import SECOND_NS, parse_duration_ns

MAX_RELEASE_WAIT_S = 60.0


def add_discovery_routes(app: falcon.asgi.App[Any, Any], catalog: Catalog, ledger: ReleaseLedger) -> None:
    """Adds `/internal/v1/edge/<node>/report`, `/internal/v1/released` and `/internal/v1/catalog` to an app whose
    listener lets in only the infra's own nodes."""
    app.add_route("/internal/v1/edge/{node}/report", _Report(ledger))
    app.add_route("/internal/v1/released", _Released(ledger))
    app.add_route("/internal/v1/catalog", _Snapshot(catalog))


class _Report:
    def __init__(self, ledger: ReleaseLedger) -> None:
        self._ledger = ledger

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, node: str) -> None:
        self._ledger.report(node, await read_json(req, EdgeReport))
        send_json(req, resp, {})


class _Released:
    """Answers `{Released, Unreleased: [ids]}`; 200 either way, the wait being over is not an error."""

    def __init__(self, ledger: ReleaseLedger) -> None:
        self._ledger = ledger

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        instances = [one for one in req.get_param_as_list("instance") or () if one]
        wait = req.get_param("wait", default="") or "0"
        try:
            wait_s = min(max(0.0, parse_duration_ns(wait) / SECOND_NS), MAX_RELEASE_WAIT_S)
        except BadInput:
            raise BadInput(f'Invalid wait time "{wait}"') from None
        left = await while_connected(req, self._ledger.wait_released(instances, wait_s))
        send_json(req, resp, {"Released": not left, "Unreleased": left})


class _Snapshot:
    """A blocking query on the whole catalog, encoded once per index."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._encoded: tuple[int, bytes] = (0, b"")

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        index = await block(req, self._catalog.topics, [("endpoints",)])
        if self._encoded[0] != index:
            self._encoded = (index, msgspec.json.encode(view(self._catalog, index)))
        resp.content_type = "application/json"
        resp.data = self._encoded[1]
