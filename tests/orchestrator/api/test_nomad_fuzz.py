"""Whatever comes in, the answer is a right one or a clear refusal: never a defect, never a traceback."""

from __future__ import annotations

import asyncio
import json
import types
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kokiris.http.app import asgi
from kokiris.orchestrator.api.app import make_nomad_app
from kokiris.orchestrator.api.dial import NodeDialer
from kokiris.orchestrator.keys import Keys
from kokiris.orchestrator.model.deployment import Deployment
from kokiris.orchestrator.model.job import Job
from tests.orchestrator.core.bed import job_spec

KEYS = Keys("demo", "rec1")
NODE = "11111111-1111-4111-8111-111111111111"
DEPLOYMENT = "22222222-2222-4222-8222-222222222222"


def words(text: str) -> list[str]:
    return text.split()


GETS = words(
    "jobs jobs/statuses job/{} job/{}/versions job/{}/submission job/{}/scale job/{}/allocations job/{}/summary "
    "allocations allocation/{} allocation/{}/services evaluations evaluations/count evaluation/{} "
    "evaluation/{}/allocations deployments deployment/{} deployment/allocations/{} nodes node/{} node/{}/allocations "
    "node/pools node/pool/{}/jobs services service/{} namespaces namespace/{} acl/token/{} acl/tokens agent/health "
    "operator/scheduler/configuration client/stats client/fs/ls/{} client/fs/logs/{} client/allocation/{}/stats vars "
    "var/{} volumes metrics scaling/policy/{} {}"
)
WRITES = words(
    "jobs jobs/parse jobs/statuses validate/job job/web job/web/plan job/web/revert job/web/stable job/web/evaluate "
    "job/web/scale job/web/dispatch search search/fuzzy namespace namespace/{} operator/scheduler/configuration "
    f"node/{NODE}/drain node/{NODE}/eligibility deployment/pause/{DEPLOYMENT} deployment/promote/{DEPLOYMENT} "
    f"deployment/allocation-health/{DEPLOYMENT} deployment/fail/{DEPLOYMENT} acl/token agent/join"
)
NAMES = words(
    "namespace prefix filter per_page next_token reverse resources task_states os meta all diffs diff_version version "
    "stale region pretty wait index related choose status job task type path offset origin follow node_id format"
)
FIELDS = words(
    "Job ID Name Type Namespace Region Priority Datacenters TaskGroups Tasks Count Driver Config Networks DynamicPorts "
    "Label Value To Services PortLabel Checks Interval Constraints Operand Update MaxParallel Periodic Meta Env "
    "Resources CPU MemoryMB Templates EmbeddedTmpl Submission Source EnforceIndex JobModifyIndex EvalPriority JobHCL "
    "Variables Canonicalize JobID JobVersion EnforcePriorVersion Stable Target Group Message Error Prefix Context Text "
    "Jobs DrainSpec Deadline Eligibility DeploymentID Pause All Groups HealthyAllocationIDs SchedulerAlgorithm "
    "PreemptionConfig Diff Artifacts Volumes Lifecycle Spreads Affinities Weight Scaling RestartPolicy Attempts"
)

texts = st.one_of(
    st.sampled_from(["web", "default", "site", "*", "", "true", "1", NODE, DEPLOYMENT]), st.text(max_size=40)
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(FIELDS), texts), inner, max_size=6)
    ),
    max_leaves=25,
)
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)


def shaped(hint: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a wire type that mostly fit it, to get past the first checks."""
    options = [option for option in get_args(hint) if option is not types.NoneType]
    if get_origin(hint) in {Union, types.UnionType}:
        return st.one_of(st.none(), shaped(options[0], depth))
    if get_origin(hint) is list:
        return st.lists(shaped(options[0], depth + 1), max_size=2)
    if get_origin(hint) is dict:
        return st.dictionaries(texts, shaped(options[1], depth + 1), max_size=2)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = get_type_hints(hint)
        fields = {name: st.deferred(lambda hint=hints[name]: shaped(hint, depth + 1)) for name in hints}
        return st.fixed_dictionaries({}, optional=fields if depth < 12 else {})
    leaves = {str: texts, int: st.integers(-10, 2**33), bool: st.booleans(), float: st.floats(allow_nan=False)}
    return leaves.get(hint, values)


def nearly(well: dict[str, Any], places: list[Any], wrong: Any) -> dict[str, Any]:
    """`well` with one value somewhere replaced by `wrong`."""
    changed = json.loads(json.dumps(well))
    at: Any = changed
    for place in places[:-1]:
        at = at[place]
    at[places[-1]] = wrong
    return changed


def paths_in(value: Any) -> list[list[Any]]:
    """Every place in nested JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [[key, *rest] for key, inner in items for rest in ([], *paths_in(inner))]


WELL = msgspec.to_builtins(job_spec())
jobs = st.one_of(
    shaped(Job).map(lambda job: {**job, "ID": "web"}),
    st.tuples(st.sampled_from(paths_in(WELL)), values).map(lambda pair: nearly(WELL, *pair)),
)
queries = st.dictionaries(st.sampled_from(NAMES), texts, max_size=4)


@pytest.fixture
def ask(recorder, make_job, make_node, token):
    """Calls the application as a server would, without sockets; returns (status, body)."""

    class Anyone:
        def authenticate(self, secret):
            from kokiris.http.tokens import Principal

            return Principal("a", "a", "management")

    recorder.put_job(make_job())
    recorder.put((KEYS.node(NODE), make_node(ID=NODE)))
    recorder.put((KEYS.deployment(DEPLOYMENT), Deployment(ID=DEPLOYMENT, Namespace="default", JobID="web")))
    app = asgi(make_nomad_app(recorder, Anyone(), NodeDialer(None)))

    async def call(method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        sent = []
        received = iter([{"type": "http.request", "body": body, "more_body": False}])
        pairs = "&".join(f"{quote(name)}={quote(value)}" for name, value in query.items())
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": "/v1/" + path, "raw_path": b"", "query_string": pairs.encode(), "root_path": "",
            "headers": [(b"host", b"x"), (b"x-nomad-token", b"t"), (b"content-length", str(len(body)).encode())],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip

        async def receive():
            return next(received, {"type": "http.disconnect"})

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:])

    loop = asyncio.new_event_loop()
    yield lambda *positional: loop.run_until_complete(call(*positional))
    loop.close()


def check(status: int, body: bytes) -> None:
    assert b"internal error" not in body, body
    assert b"Traceback" not in body
    assert 200 <= status < 600
    if status == 200 and body[:1] in {b"[", b"{"}:
        msgspec.json.decode(body)


fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@fuzz
@given(path=st.sampled_from(GETS), part=texts, query=queries)
def test_reads(ask, path, part, query):
    if "index" in query:
        query["wait"] = "1ms"
    check(*ask("GET", path.format(part), query, b""))


@fuzz
@given(path=st.sampled_from(WRITES), part=texts, query=queries, body=bodies, method=st.sampled_from(["PUT", "POST"]))
def test_writes(ask, path, part, query, body, method):
    check(*ask(method, path.format(part), query, json.dumps(body).encode()))


@fuzz
@given(path=st.sampled_from(["jobs", "validate/job", "job/web/plan"]), job=jobs, diff=st.booleans())
def test_jobs(ask, path, job, diff):
    check(*ask("PUT", path, {}, json.dumps({"Job": job, "Diff": diff}).encode()))


@fuzz
@given(path=st.sampled_from(WRITES), body=st.binary(max_size=200))
def test_garbage(ask, path, body):
    check(*ask("PUT", path.format("x"), {}, body))


@fuzz
@given(source=st.text(max_size=200), head=st.sampled_from(["", 'job "x" {', 'variable "v" {', "locals {"]))
def test_sources(ask, source, head):
    check(*ask("PUT", "jobs/parse", {}, json.dumps({"JobHCL": head + source, "Variables": source}).encode()))
