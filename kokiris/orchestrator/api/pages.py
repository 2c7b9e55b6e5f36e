"""`/ui/`: a plain signed-in page of jobs and allocations. The console of a later part replaces it."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from kokiris.http.pages import Frame, Markup, code, commands, marked, section, table
from kokiris.http.signin import SignIn
from kokiris.http.tokens import Principal
from kokiris.orchestrator.api.context import ApiContext
from kokiris.orchestrator.api.derived import job_now
from kokiris.orchestrator.api.tenancy import TenantView
from kokiris.orchestrator.model.alloc import Alloc

HERE, TITLE = "nomad", "Orchestrator"
MAX_ALLOCATIONS = 500


def add_pages(app: falcon.asgi.App[Any, Any], context: ApiContext, frame: Frame) -> None:
    """Adds `/`, `/ui` and all below it: the addresses of Nomad's own pages lead to this one."""

    async def management(secret: str) -> Principal | None:
        principal = context.authenticator.authenticate(secret)
        return principal if principal is not None and principal.is_management else None

    sign_in = SignIn(frame, management, here=HERE, title=TITLE, cookie="kokiris_nomad")
    sign_in.add_routes(app)
    for path in ("/", "/ui"):
        app.add_route(path, _ToPage(sign_in.path))
    app.add_route("/ui/{path:path}", _Page(context, sign_in))


class _ToPage:
    def __init__(self, path: str) -> None:
        self._path = path

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        raise falcon.HTTPTemporaryRedirect(self._path)


class _Page:
    def __init__(self, context: ApiContext, sign_in: SignIn) -> None:
        self._context = context
        self._sign_in = sign_in

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, path: str) -> None:
        self._sign_in.require(req)
        if path:
            raise falcon.HTTPSeeOther(self._sign_in.path)
        self._sign_in.send(resp, TITLE, overview(self._context))


def overview(context: ApiContext) -> Markup:
    """The page's content: what the client's token sees."""
    state = TenantView(context.state)
    jobs = [job_now(state, context.encodings, job) for _, job in sorted(state.jobs.items())]
    rows = [
        (
            now.job.Namespace, code(now.job.ID), now.job.Type, now.job.Version, marked(now.job.Status),
            sum(group.Running for group in (now.summary.Summary or {}).values()),
        )
        for now in jobs
    ]  # fmt: skip
    allocs = sorted(state.allocs.values(), key=_newest_first)
    title = "Allocations" if len(allocs) <= MAX_ALLOCATIONS else f"Allocations (the newest {MAX_ALLOCATIONS})"
    lines = [_line(context, alloc) for alloc in allocs[:MAX_ALLOCATIONS]]
    return Markup(
        section(
            "Jobs", table(("Namespace", "Job", "Type", "Version", "Status", "Running"), rows, "No job is registered.")
        )
        + section(
            title,
            table(("Allocation", "Name", "Node", "Wanted", "Status", "Says"), lines, "Nothing has been placed."),
        )
        + commands(
            "From the command line: Nomad's API is at this address, for whoever sends the token",
            'eval "$(kokiris env)"      # on the node: NOMAD_ADDR, NOMAD_TOKEN, NOMAD_CACERT',
            "kokiris job run shop.nomad.hcl",
            "kokiris job status shop",
            "kokiris alloc logs -f -job shop",
            'curl --cacert "$NOMAD_CACERT" -H "X-Nomad-Token: $NOMAD_TOKEN" "$NOMAD_ADDR/v1/jobs"',
        )
    )


def _newest_first(alloc: Alloc) -> tuple[int, str]:
    return (-alloc.CreateIndex, alloc.Name)


def _line(context: ApiContext, alloc: Alloc) -> tuple[object, ...]:
    node = context.state.nodes.get(alloc.NodeID)
    says = alloc.Client.ClientDescription if alloc.Client else ""
    name = node.Name if node else alloc.NodeID
    return (code(alloc.ID[:8]), alloc.Name, name, alloc.DesiredStatus, marked(alloc.ClientStatus), says)
