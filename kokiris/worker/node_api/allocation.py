"""`/v1/client/allocation/<alloc>/{stats,checks,restart,signal,gc}` and `/v1/client/stats`."""

from __future__ import annotations

import falcon.asgi
import msgspec

from kokiris.http.app import read_body, send_json
from kokiris.kernel import wire
from kokiris.kernel.errors import BadInput, KokirisError
from kokiris.worker.allocations import Allocations
from kokiris.worker.drivers.contract import Usage
from kokiris.worker.node_api.measures import alloc_usage, host_stats, percent_since
from kokiris.worker.surroundings import Surroundings


class RestartRequest(msgspec.Struct, kw_only=True):
    """Without a task: all that run."""

    TaskName: str = ""
    AllTasks: bool = False


class SignalRequest(msgspec.Struct, kw_only=True):
    """Without a task: all that run."""

    Signal: str = ""
    Task: str = ""


class AllocationCalls:
    """One resource for all verbs."""

    def __init__(self, allocations: Allocations, around: Surroundings) -> None:
        self._allocations = allocations
        self._around = around
        self._samples: dict[tuple[str, str], Usage] = {}

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, alloc_id: str, verb: str) -> None:
        """Raises NotFound for an unknown allocation."""
        runner = self._allocations.find(alloc_id)
        if verb == "checks":
            send_json(req, resp, runner.check_statuses())
        elif verb == "stats":
            send_json(req, resp, await self._usage(alloc_id))
        elif verb == "gc":
            if not self._allocations.remove_ended(alloc_id):
                raise BadInput("allocation is still running", next_step="Stop it first.")
            send_json(req, resp, {})
        else:
            raise BadInput("Invalid method")

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, alloc_id: str, verb: str) -> None:
        """Raises NotFound for an unknown allocation or task, BadInput for one that does not run."""
        runner = self._allocations.find(alloc_id)
        body = await read_body(req) or b"{}"
        if verb == "restart":
            wanted = wire.decode(body, RestartRequest)
            runner.restart(wanted.TaskName, all_tasks=wanted.AllTasks)
        elif verb == "signal":
            asked = wire.decode(body, SignalRequest)
            await runner.signal(asked.Task, asked.Signal or "SIGKILL")
        else:
            raise BadInput("Invalid method")
        send_json(req, resp, {"Index": 0})

    on_post = on_put

    async def _usage(self, alloc_id: str) -> object:
        runner = self._allocations.find(alloc_id)
        samples: dict[str, tuple[Usage, float]] = {}
        for name, task in runner.tasks.items():
            driver = self._around.drivers.get(task.task.Driver)
            if task.handle is None or driver is None or task.state.State != "running":
                continue
            try:
                usage = await driver.usage(task.handle)
            except KokirisError:  # it ends this very moment
                continue
            before = self._samples.get((alloc_id, name))
            self._samples[alloc_id, name] = usage
            samples[name] = (usage, percent_since(before, usage))
        self._forget_ended()
        return alloc_usage(samples, self._around.cpu_mhz / self._around.cores, self._around.now_ns())

    def _forget_ended(self) -> None:
        for key in [key for key in self._samples if key[0] not in self._allocations.runners]:
            del self._samples[key]


class HostCalls:
    """`GET /v1/client/stats`."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Of this node."""
        send_json(req, resp, host_stats(self._around.layout.root))
