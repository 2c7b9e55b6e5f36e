"""stub"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kokiris.kernel.errors import NotSupported
from kokiris.orchestrator.model.task import Template
from kokiris.worker.drivers.contract import TaskFolders
from kokiris.worker.templates.services import ServiceWatcher


class TemplateSet:
    def __init__(
        self,
        templates: Sequence[Template],
        folders: TaskFolders,
        env: Callable[[], dict[str, str]],
        services: ServiceWatcher,
    ) -> None: ...

    async def first_render(self, say: Callable[[str], None]) -> dict[str, str]:
        raise NotSupported("templates")

    async def watch(self, act: Callable[..., None]) -> None: ...
    def close(self) -> None: ...
