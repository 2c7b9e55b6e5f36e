"""Composition of the public Nomad API: every path and who answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import falcon.asgi

from kokiris.http.app import make_app
from kokiris.http.pages import ALONE, Frame
from kokiris.http.tokens import Authenticator
from kokiris.kernel.clock import NowNs, wall_ns
from kokiris.orchestrator.api import (
    absent,
    acl,
    agent,
    allocations,
    client,
    deployments,
    evaluations,
    events,
    job,
    jobs,
    metrics,
    namespaces,
    nodes,
    operator,
    search,
    services,
    variables,
)
from kokiris.orchestrator.api.call import Endpoint, Handler
from kokiris.orchestrator.api.context import (
    ApiContext,
    Identity,
    NoServices,
    NoTokens,
    ServiceCatalog,
    TokenReader,
    no_tag_warnings,
)
from kokiris.orchestrator.api.dial import NodeDialer
from kokiris.orchestrator.api.eventlog import EventLog
from kokiris.orchestrator.api.exec import ExecEndpoint
from kokiris.orchestrator.api.pages import add_pages
from kokiris.orchestrator.commands import Commands
from kokiris.orchestrator.model.job import Job
from kokiris.variables.model import Variables


def make_nomad_app(
    commands: Commands,
    authenticator: Authenticator,
    dialer: NodeDialer,
    *,
    catalog: ServiceCatalog | None = None,
    tokens: TokenReader | None = None,
    tag_warnings: Callable[[Job], Sequence[str]] = no_tag_warnings,
    identity: Identity | None = None,
    variable_store: Variables | None = None,
    now_ns: NowNs = wall_ns,
    frame: Frame = ALONE,
) -> falcon.asgi.App[Any, Any]:
    """The whole public API over `commands`; serve it with `kokiris.http.app.asgi(app)`.

    Without `catalog` there are no Nomad services, without `tokens` no token is listed. The caller closes `dialer`.
    """
    services_of = catalog or NoServices()
    context = ApiContext(
        commands=commands,
        authenticator=authenticator,
        dialer=dialer,
        events=EventLog(commands.state, services_of),
        catalog=services_of,
        tokens=tokens or NoTokens(),
        tag_warnings=tag_warnings,
        identity=identity or Identity(),
        now_ns=now_ns,
        variables=variable_store,
    )
    app = make_app()
    for add in (_jobs, _allocations, _nodes, _discovery, _acl, _servers, _absent):
        add(app, context)
    add_pages(app, context, frame)
    return app


class _Router:
    """Shorter `add_route`."""

    def __init__(self, app: falcon.asgi.App[Any, Any], context: ApiContext) -> None:
        self._app = app
        self._context = context

    def __call__(
        self,
        path: str,
        *,
        get: Handler | None = None,
        write: Handler | None = None,
        put: Handler | None = None,
        delete: Handler | None = None,
        public: bool = False,
    ) -> None:
        endpoint = Endpoint(self._context, get=get, write=write, put=put, delete=delete, public=public)
        self._app.add_route(path, endpoint)

    def all(self, path: str, handler: Handler) -> None:
        """Every method."""
        self(path, get=handler, write=handler, delete=handler)


def _jobs(app: falcon.asgi.App[Any, Any], context: ApiContext) -> None:
    add = _Router(app, context)
    add("/v1/jobs", get=jobs.list_jobs, write=jobs.register_job)
    add("/v1/jobs/parse", write=jobs.parse_job)
    add("/v1/jobs/statuses", get=jobs.job_statuses, write=jobs.job_statuses)
    add("/v1/validate/job", write=jobs.validate_job)
    add("/v1/job/{path:path}", get=job.get, write=job.write, delete=job.delete)
    add("/v1/evaluations", get=evaluations.list_evaluations, delete=evaluations.delete_evaluations)
    add("/v1/evaluations/count", get=evaluations.count_evaluations)
    add("/v1/evaluation/{eval_id}", get=evaluations.read_evaluation)
    add("/v1/evaluation/{eval_id}/allocations", get=evaluations.evaluation_allocations)
    add("/v1/deployments", get=deployments.list_deployments)
    add("/v1/deployment/{deployment_id}", get=deployments.read_deployment)
    add("/v1/deployment/allocations/{deployment_id}", get=deployments.deployment_allocations)
    add("/v1/deployment/fail/{deployment_id}", write=deployments.fail)
    add("/v1/deployment/pause/{deployment_id}", write=deployments.pause)
    add("/v1/deployment/promote/{deployment_id}", write=deployments.promote)
    add("/v1/deployment/allocation-health/{deployment_id}", write=deployments.set_health)
    add("/v1/deployment/unblock/{deployment_id}", write=deployments.unblock)


def _allocations(app: falcon.asgi.App[Any, Any], context: ApiContext) -> None:
    add = _Router(app, context)
    add("/v1/allocations", get=allocations.list_allocations)
    add("/v1/allocation/{alloc_id}", get=allocations.read_allocation)
    add("/v1/allocation/{alloc_id}/stop", write=allocations.stop_allocation)
    add("/v1/allocation/{alloc_id}/services", get=allocations.allocation_services)
    add("/v1/allocation/{alloc_id}/checks", get=allocations.allocation_checks)
    add("/v1/client/allocation/{alloc_id}/checks", get=allocations.allocation_checks)
    add("/v1/client/allocation/{alloc_id}/stats", get=client.alloc_read)
    add("/v1/client/allocation/{alloc_id}/restart", write=client.restart)
    add("/v1/client/allocation/{alloc_id}/signal", write=client.signal)
    add("/v1/client/allocation/{alloc_id}/gc", get=client.alloc_gc)
    add("/v1/client/allocation/{alloc_id}/pause", get=client.absent, write=client.absent)
    add("/v1/client/allocation/{alloc_id}/snapshot", get=client.absent)
    app.add_route("/v1/client/allocation/{alloc_id}/exec", ExecEndpoint(context))
    add("/v1/client/fs/{verb}/{alloc_id}", get=client.fs)
    add("/v1/client/stats", get=client.node_stats)
    add("/v1/client/gc", get=client.node_gc)
    add("/v1/client/metadata", get=client.absent, write=client.absent)
    add("/v1/client/identity", get=client.absent)
    add("/v1/client/identity/renew", write=client.absent)


def _nodes(app: falcon.asgi.App[Any, Any], context: ApiContext) -> None:
    add = _Router(app, context)
    add("/v1/nodes", get=nodes.list_nodes)
    add("/v1/node/pools", get=nodes.list_pools, write=nodes.refuse_pool_change)
    add("/v1/node/pool/{name}", get=nodes.read_pool, write=nodes.refuse_pool_change, delete=nodes.refuse_pool_change)
    add("/v1/node/pool/{name}/nodes", get=nodes.pool_nodes)
    add("/v1/node/pool/{name}/jobs", get=nodes.pool_jobs)
    add("/v1/node/{node_id}", get=nodes.read_node)
    add("/v1/node/{node_id}/allocations", get=nodes.node_allocations)
    add("/v1/node/{node_id}/evaluate", write=nodes.evaluate_node)
    add("/v1/node/{node_id}/drain", write=nodes.drain_node)
    add("/v1/node/{node_id}/eligibility", write=nodes.set_eligibility)
    add("/v1/node/{node_id}/purge", write=nodes.purge_node)


def _discovery(app: falcon.asgi.App[Any, Any], context: ApiContext) -> None:
    add = _Router(app, context)
    add("/v1/services", get=services.list_services)
    add("/v1/service/{name}", get=services.read_service)
    add("/v1/service/{name}/{instance_id}", delete=services.delete_service)
    add("/v1/namespaces", get=namespaces.list_namespaces)
    add("/v1/namespace", write=namespaces.write_namespace)
    add(
        "/v1/namespace/{name}",
        get=namespaces.read_namespace,
        write=namespaces.write_namespace,
        delete=namespaces.delete_namespace,
    )
    add("/v1/vars", get=variables.list_variables)
    add(
        "/v1/var/{path:path}",
        get=variables.read_variable,
        write=variables.write_variable,
        delete=variables.delete_variable,
    )
    add("/v1/search", write=search.search)
    add("/v1/search/fuzzy", write=search.fuzzy)
    add("/v1/event/stream", get=events.stream)


def _acl(app: falcon.asgi.App[Any, Any], context: ApiContext) -> None:
    add = _Router(app, context)
    add("/v1/acl/bootstrap", write=acl.bootstrap, public=True)
    add("/v1/acl/token/self", get=acl.own_token, public=True)
    add("/v1/acl/tokens", get=acl.list_tokens)
    add("/v1/acl/token", write=acl.refuse)
    add("/v1/acl/token/{accessor_id}", get=acl.read_token, write=acl.refuse, delete=acl.refuse)
    for name in ("policies", "roles", "auth-methods", "binding-rules"):
        add(f"/v1/acl/{name}", get=acl.empty_list)
    add.all("/v1/acl/{path:path}", acl.refuse)


def _servers(app: falcon.asgi.App[Any, Any], context: ApiContext) -> None:
    add = _Router(app, context)
    add("/v1/status/leader", get=agent.leader, public=True)
    add("/v1/status/peers", get=agent.peers, public=True)
    add("/v1/regions", get=agent.regions, public=True)
    add("/v1/agent/health", get=agent.health, public=True)
    add("/v1/agent/self", get=agent.self_)
    add("/v1/agent/members", get=agent.members)
    add("/v1/agent/servers", get=agent.servers, write=agent.refuse_servers)
    add("/v1/agent/join", write=agent.join)
    add("/v1/agent/force-leave", write=agent.force_leave)
    add.all("/v1/agent/{path:path}", agent.absent)
    add("/v1/system/gc", put=operator.collect_garbage)
    add("/v1/system/reconcile/summaries", put=operator.reconcile_summaries)
    add("/v1/operator/scheduler/configuration", get=operator.scheduler_config, write=operator.write_scheduler_config)
    add("/v1/operator/raft/configuration", get=operator.raft_configuration)
    add("/v1/operator/raft/peer", delete=operator.remove_peer)
    add("/v1/operator/autopilot/configuration", get=operator.autopilot_config, put=operator.absent)
    add("/v1/operator/autopilot/health", get=operator.autopilot_health)
    add.all("/v1/operator/license", absent.enterprise)
    add.all("/v1/operator/{path:path}", operator.absent)
    add("/v1/metrics", get=metrics.metrics)


def _absent(app: falcon.asgi.App[Any, Any], context: ApiContext) -> None:
    add = _Router(app, context)
    add("/v1/volumes", get=absent.empty_list)
    add("/v1/plugins", get=absent.empty_list)
    add("/v1/volumes/{path:path}", get=absent.empty_list, write=absent.refuse_volumes, delete=absent.refuse_volumes)
    add.all("/v1/volume/{path:path}", absent.refuse_volumes)
    add.all("/v1/plugin/{path:path}", absent.refuse_volumes)
    add("/v1/scaling/policies", get=absent.empty_list)
    add("/v1/scaling/policy/{policy_id}", get=absent.no_scaling_policy)
    for path in ("quotas", "quota", "quota-usages", "recommendations", "recommendation"):
        add.all(f"/v1/{path}", absent.enterprise)
        add.all(f"/v1/{path}/{{path:path}}", absent.enterprise)
    add.all("/v1/sentinel/{path:path}", absent.enterprise)
