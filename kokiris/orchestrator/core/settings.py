"""Namespaces and scheduler settings."""

from __future__ import annotations

import msgspec

from kokiris.kernel.errors import BadInput, NotFound
from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.core.jobs import BUILT_IN_NAMESPACES
from kokiris.orchestrator.core.refusal import Refused
from kokiris.orchestrator.model.infra import Namespace, SchedulerConfig
from kokiris.store.contract import Condition

BUILT_IN = (
    Namespace(Name="default", Description="Default shared namespace"),
    Namespace(Name="platform", Description="The infra's own add-ons"),
)


class Settings:
    """See `commands.Commands`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def put_namespace(self, namespace: Namespace) -> int:
        def decide() -> tuple[Draft, None]:
            draft = Draft()
            if not namespace.Name or len(namespace.Name) > 128:
                raise BadInput(f'invalid name "{namespace.Name}": a namespace has 1 to 128 characters')
            before = self._context.state.namespaces.get(namespace.Name)
            key = self._context.keys.namespace(namespace.Name)
            draft.expect(key, before.ModifyIndex if before is not None else 0)
            draft.put(key, namespace)
            return draft, None

        revision, _ = await self._context.commits.write(decide)
        return revision

    async def delete_namespace(self, name: str) -> int:
        def decide() -> tuple[Draft, None]:
            draft, state = Draft(), self._context.state
            if name in BUILT_IN_NAMESPACES:
                raise Refused(f"can not delete {name} namespace")
            before = state.namespaces.get(name)
            if before is None:
                raise NotFound("Namespace not found")
            jobs = sorted(job.ID for job in state.jobs.values() if job.Namespace == name)
            if jobs:
                raise Refused(
                    f'namespace "{name}" has non-terminal jobs: {", ".join(jobs[:5])}',
                    next_step="Stop and purge its jobs first.",
                )
            draft.expect(self._context.keys.namespace(name), before.ModifyIndex)
            draft.delete(self._context.keys.namespace(name))
            return draft, None

        revision, _ = await self._context.commits.write(decide)
        return revision

    async def put_scheduler_config(self, config: SchedulerConfig, *, cas: int | None = None) -> tuple[bool, int]:
        """(updated, index)."""
        if config.SchedulerAlgorithm not in {"binpack", "spread"}:
            raise BadInput(
                f'invalid scheduler algorithm: "{config.SchedulerAlgorithm}"', next_step="binpack or spread."
            )

        def decide() -> tuple[Draft, bool]:
            draft, before = Draft(), self._context.state.scheduler_config
            if cas is not None and cas != before.ModifyIndex:
                return draft, False
            draft.expect(self._context.keys.scheduler_config, before.ModifyIndex)
            draft.put(self._context.keys.scheduler_config, msgspec.structs.replace(config))
            return draft, True

        revision, updated = await self._context.commits.write(decide)
        return updated, revision or self._context.state.revision

    async def ensure_built_in(self, fence: Condition) -> None:
        """The namespaces every infra has are there."""
        draft = Draft()
        for namespace in BUILT_IN:
            if namespace.Name not in self._context.state.namespaces:
                draft.expect(self._context.keys.namespace(namespace.Name), 0)
                draft.put(self._context.keys.namespace(namespace.Name), namespace)
        if draft:
            await self._context.commits.attempt(draft, fence)
