"""Workers ask for the variables of the tasks they run: exactly those, never others'."""

from __future__ import annotations

import falcon.asgi
import msgspec

from kokiris.http.app import send_json
from kokiris.http.blocking import block
from kokiris.kernel.errors import NotFound
from kokiris.orchestrator.internal.assignments import node_of
from kokiris.orchestrator.internal.ports import OrchestratorCore
from kokiris.variables.model import Variable, VariableReader, readable_paths


class TaskVariablesAnswer(msgspec.Struct, kw_only=True):
    """`Readable` are the paths the task may read, `Variables` those of them that exist."""

    Index: int
    Namespace: str
    Readable: list[str]
    Variables: list[Variable]


class TaskVariables:
    """`GET /internal/v1/node/<id>/variables?alloc=…&task=…&index=N&wait=…`."""

    def __init__(self, core: OrchestratorCore, variables: VariableReader) -> None:
        self._core = core
        self._variables = variables

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, node_id: str) -> None:
        """Raises NotFound unless the allocation is this node's and has the task."""
        node = node_of(req, self._core, node_id)
        state = self._core.state
        alloc_id, task_name = req.get_param("alloc", default=""), req.get_param("task", default="")
        alloc = state.allocs.get(alloc_id)
        if alloc is None or alloc.NodeID != node.ID:
            raise NotFound(f'allocation "{alloc_id[:36]}" is not one of node {node.ID}')
        job = state.job_of(alloc)
        group = next((one for one in (job.TaskGroups or ()) if one.Name == alloc.TaskGroup), None) if job else None
        task = next((one for one in (group.Tasks or ()) if one.Name == task_name), None) if group else None
        if job is None or group is None or task is None:
            raise NotFound(f'allocation "{alloc_id}" has no task "{task_name[:128]}"')
        paths = readable_paths(job.ParentID or job.ID, group.Name, task.Name, (job.Meta, group.Meta, task.Meta))
        topics = [("variable", alloc.Namespace, path) for path in paths]
        index = await block(req, self._variables.topics, topics)
        found = [self._variables.get(alloc.Namespace, path) for path in paths]
        answer = TaskVariablesAnswer(
            Index=index,
            Namespace=alloc.Namespace,
            Readable=paths,
            Variables=[one for one in found if one is not None],
        )
        send_json(req, resp, answer)
