"""A task's variables, kept up to date by one blocking query from the moment a template asks for one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from kokiris.kernel.errors import KokirisError
from kokiris.worker.client import TaskVariable, TaskVariableList

log = logging.getLogger(__name__)

WAIT_S = 60.0
RETRY_S = 1.0


class VariableSource(Protocol):
    """The part of `client.Servers` needed here."""

    async def task_variables(self, alloc_id: str, task: str, index: int, wait_s: float) -> TaskVariableList: ...


class VariableItems(dict[str, str]):
    """What `nomadVar` gives: fields by name, and what consul-template offers on top. Fields win."""

    def __init__(self, variable: TaskVariable) -> None:
        super().__init__(variable.Items)
        self._extra: dict[str, Any] = {
            "Keys": sorted(variable.Items),
            "Values": [variable.Items[name] for name in sorted(variable.Items)],
            "Tuples": [{"K": name, "V": variable.Items[name]} for name in sorted(variable.Items)],
            "Metadata": metadata(variable),
        }

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._extra

    def __missing__(self, name: str) -> Any:
        return self._extra[name]

    def __repr__(self) -> str:
        return f"VariableItems({sorted(self)})"


def metadata(variable: TaskVariable) -> dict[str, Any]:
    """What `nomadVarList` gives of one."""
    return {
        "Namespace": variable.Namespace,
        "Path": variable.Path,
        "CreateIndex": variable.CreateIndex,
        "ModifyIndex": variable.ModifyIndex,
        "CreateTime": variable.CreateTime,
        "ModifyTime": variable.ModifyTime,
    }


class TaskVariables:
    """Of one task: the servers decide which it may read. Nothing is written to disk here."""

    def __init__(self, source: VariableSource, alloc_id: str, task: str) -> None:
        self._source = source
        self._alloc_id = alloc_id
        self._task = task
        self._watching: asyncio.Task[None] | None = None
        self._known: dict[str, TaskVariable] | None = None
        self.readable: frozenset[str] = frozenset()
        """Paths the task may read, whether they exist or not; empty before the first answer."""

    def known(self) -> Mapping[str, TaskVariable] | None:
        """Those that exist, by path, as last heard; None before the first answer."""
        return self._known

    def listen(self, changed: Callable[[], None]) -> None:
        """`changed` is called on the first answer and on every change. One listener; the first call begins."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(changed), name=f"variables of {self._alloc_id}")

    def close(self) -> None:
        """Ends the query."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch(self, changed: Callable[[], None]) -> None:
        index = 0
        while True:
            try:
                found = await self._source.task_variables(self._alloc_id, self._task, index, WAIT_S)
            except KokirisError as error:
                log.info("variables of allocation %s: %s; asking again", self._alloc_id, error.message)
                await asyncio.sleep(RETRY_S)
                continue
            index = found.Index if found.Index >= index else 0  # went back: the servers' state was restored
            if self._take(found.Readable, found.Variables):
                changed()

    def _take(self, readable: Sequence[str], variables: Sequence[TaskVariable]) -> bool:
        new = {one.Path: one for one in variables}
        if new == self._known:
            return False
        self.readable = frozenset(readable)
        self._known = new
        return True
