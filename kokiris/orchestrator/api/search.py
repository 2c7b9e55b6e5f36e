"""`/v1/search` (by prefix) and `/v1/search/fuzzy` (by part of a name)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kokiris.kernel.errors import BadInput
from kokiris.kernel.topics import Topic
from kokiris.orchestrator.api.call import Call
from kokiris.orchestrator.api.requests import SearchRequest
from kokiris.orchestrator.api.responses import FuzzyMatch, SearchResponse
from kokiris.orchestrator.model.job import Job

MATCHES = 20
"""Per context; more are cut and the context is marked truncated."""
SHORTEST_TEXT = 2

_ABSENT = ("quotas", "recommendations", "scaling_policy", "plugins", "vars", "volumes", "host_volumes")
"""Contexts that clients ask for and in which nothing is found here."""
_FUZZY_ONLY = ("groups", "services", "tasks", "images", "commands", "classes")

_IDS: dict[str, Callable[[Call], Iterable[str]]] = {
    "allocs": lambda call: (one.ID for one in call.state.allocs.values() if call.sees(one.Namespace)),
    "deployment": lambda call: (one.ID for one in call.state.deployments.values() if call.sees(one.Namespace)),
    "evals": lambda call: (one.ID for one in call.state.evals.values() if call.sees(one.Namespace)),
    "jobs": lambda call: (job_id for namespace, job_id in call.state.jobs if call.sees(namespace)),
    "nodes": lambda call: iter(call.state.nodes),
    "node_pools": lambda call: {"all", "default", *(node.NodePool for node in call.state.nodes.values())},
    "namespaces": lambda call: {"default", *call.state.namespaces},
}
_TOPICS: tuple[Topic, ...] = (("jobs",), ("allocs",), ("evals",), ("deployments",), ("nodes",), ("namespaces",))


async def search(call: Call) -> SearchResponse:
    """POST or PUT /v1/search: ids that start with `Prefix`, per context."""
    request = await call.body(SearchRequest)
    contexts = _contexts(request.Context, ())
    matches: dict[str, list[str]] = {}
    cut: dict[str, bool] = {}
    for context in contexts:
        ids = sorted(one for one in _IDS.get(context, _nothing)(call) if one.startswith(request.Prefix))
        if ids or request.Context not in {"", "all"}:
            matches[context], cut[context] = ids[:MATCHES], len(ids) > MATCHES
    call.index = call.state.topics.index(*_TOPICS)
    return SearchResponse(Matches=matches, Truncations=cut, Index=call.index)


async def fuzzy(call: Call) -> SearchResponse:
    """POST or PUT /v1/search/fuzzy: names that contain `Text`, whatever the case; ids still by prefix."""
    request = await call.body(SearchRequest)
    text = request.Text.lower()
    if len(text) < SHORTEST_TEXT:
        raise BadInput(f"fuzzy search query must be at least {SHORTEST_TEXT} characters, got {len(text)}")
    contexts = _contexts(request.Context, _FUZZY_ONLY)
    found: dict[str, list[FuzzyMatch]] = {}
    for context, match in _fuzzy_matches(call, text):
        if context in contexts:
            found.setdefault(context, []).append(match)
    call.index = call.state.topics.index(*_TOPICS)
    return SearchResponse(
        Matches={context: matches[:MATCHES] for context, matches in found.items()},
        Truncations={context: len(matches) > MATCHES for context, matches in found.items()},
        Index=call.index,
    )


def _fuzzy_matches(call: Call, text: str) -> Iterable[tuple[str, FuzzyMatch]]:
    for (namespace, job_id), job in sorted(call.state.jobs.items()):
        if call.sees(namespace):
            if text in job.Name.lower():
                yield "jobs", FuzzyMatch(ID=job.Name, Scope=[namespace, job_id])
            yield from _in_job(job, text)
    for alloc in call.state.allocs.values():
        if text in alloc.Name.lower() and call.sees(alloc.Namespace):
            yield "allocs", FuzzyMatch(ID=alloc.Name, Scope=[alloc.Namespace, alloc.ID])
    for node in call.state.nodes.values():
        for context, name in (("nodes", node.Name), ("classes", node.NodeClass)):
            if text in name.lower():
                yield context, FuzzyMatch(ID=name, Scope=[node.ID])
    names = [(context, name) for context in ("namespaces", "node_pools") for name in _IDS[context](call)]
    yield from ((context, FuzzyMatch(ID=name)) for context, name in names if text in name.lower())
    ids = [(context, one) for context in ("evals", "deployment") for one in _IDS[context](call)]
    yield from ((context, FuzzyMatch(ID=one)) for context, one in ids if one.startswith(text))


def _in_job(job: Job, text: str) -> Iterable[tuple[str, FuzzyMatch]]:
    top = [job.Namespace, job.ID]
    for group in job.TaskGroups or ():
        if text in group.Name.lower():
            yield "groups", FuzzyMatch(ID=group.Name, Scope=top)
        for service in group.Services or ():
            if text in service.Name.lower():
                yield "services", FuzzyMatch(ID=service.Name, Scope=[*top, group.Name])
        for task in group.Tasks or ():
            scope = [*top, group.Name]
            if text in task.Name.lower():
                yield "tasks", FuzzyMatch(ID=task.Name, Scope=scope)
            for service in task.Services or ():
                if text in service.Name.lower():
                    yield "services", FuzzyMatch(ID=service.Name, Scope=[*scope, task.Name])
            for context, key in (("images", "image"), ("commands", "command")):
                value = (task.Config or {}).get(key)
                if isinstance(value, str) and text in value.lower():
                    yield context, FuzzyMatch(ID=value, Scope=[*scope, task.Name])


def _contexts(asked: str, more: tuple[str, ...]) -> tuple[str, ...]:
    every = (*_IDS, *_ABSENT, *more)
    if asked in {"", "all"}:
        return every
    if asked not in every:
        raise BadInput(
            f'context "{asked}" is not one of Nomad\'s', next_step="Choose one of: all, " + ", ".join(every) + "."
        )
    return (asked,)


def _nothing(call: Call) -> Iterable[str]:
    del call
    return ()
