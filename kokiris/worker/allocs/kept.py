"""What of an allocation outlives the worker's process: one file each, replaced in one step, readable by root only.

Not synced to disk: it must survive the death of the worker, and after that of the machine no task runs any more.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

import msgspec

from kokiris.infra.config import Layout
from kokiris.orchestrator.model.allocwire import Allocation, AllocCheckStatus, TaskState
from kokiris.worker.drivers.contract import TaskHandle
from kokiris.worker.tasks.restarts import RestartHistory

log = logging.getLogger(__name__)


class KeptTask(msgspec.Struct, kw_only=True):
    """Of one task. `Handle` None: no attempt is under way."""

    State: TaskState
    Handle: TaskHandle | None = None
    History: RestartHistory = msgspec.field(default_factory=RestartHistory)
    Attempt: int = 0


class KeptAlloc(msgspec.Struct, kw_only=True):
    """Of one allocation."""

    Allocation: Allocation
    AllocModifyIndex: int = 0
    ReceivedNs: int = 0
    JudgedSinceNs: int = 0
    Healthy: bool | None = None
    HealthyAtNs: int = 0
    PauseContainer: str = ""
    Address: str = ""
    Checks: dict[str, AllocCheckStatus] = msgspec.field(default_factory=dict)
    """Newest results: what passed goes on passing over a restart of the worker, until it is asked again."""
    Tasks: dict[str, KeptTask] = msgspec.field(default_factory=dict)
    Ended: bool = False
    EndedNs: int = 0
    Lost: str = ""
    """Why it was given back to the servers; "": it was not."""


class Keeper:
    """The files below `<data>/worker/allocs/`."""

    def __init__(self, layout: Layout) -> None:
        self._root = layout.worker / "allocs"

    def save(self, kept: KeptAlloc) -> None:
        """Replaces the allocation's file; without its folder (collected meanwhile) nothing happens."""
        path = self._file(kept.Allocation.ID)
        temporary = path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(kept))
            temporary.replace(path)

    def load(self) -> list[KeptAlloc]:
        """All of them. One that cannot be read is left out: the servers still know the allocation."""
        found: list[KeptAlloc] = []
        for folder in sorted(self._root.iterdir()) if self._root.exists() else ():
            try:
                found.append(msgspec.json.decode((folder / "alloc.json").read_bytes(), type=KeptAlloc))
            except FileNotFoundError:
                continue
            except (OSError, msgspec.MsgspecError) as error:
                log.warning("allocation %s: its file is unreadable (%s); asking the servers", folder.name[:8], error)
        return found

    def _file(self, alloc_id: str) -> Path:
        return self._root / alloc_id / "alloc.json"
