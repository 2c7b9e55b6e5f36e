"""Changes of what is wanted of one allocation."""

from __future__ import annotations

import msgspec

from kokiris.orchestrator.core.context import Context
from kokiris.orchestrator.core.draft import Draft
from kokiris.orchestrator.model.alloc import Alloc, AllocDesired
from kokiris.orchestrator.model.allocwire import Transition

_UNCHANGED = AllocDesired()


def changed_desire(context: Context, draft: Draft, alloc: Alloc, change: AllocDesired) -> None:
    """Stores the allocation's desired part with the fields that `change` sets; its other fields stay.

    Conditional on the desired part being still the one in memory.
    """
    before = alloc.Desired or AllocDesired()
    fields = {
        name: getattr(change, name)
        for name in change.__struct_fields__
        if getattr(change, name) != getattr(_UNCHANGED, name)
    }
    if change.DesiredTransition is not None and before.DesiredTransition is not None:
        fields["DesiredTransition"] = _joined(before.DesiredTransition, change.DesiredTransition)
    fields["ModifyTime"] = context.now_ns()
    key = context.keys.alloc_desired(alloc.ID)
    draft.expect(key, alloc.DesiredIndex)
    draft.put(key, msgspec.structs.replace(before, **fields))


def _joined(before: Transition, change: Transition) -> Transition:
    return Transition(**{name: getattr(before, name) or getattr(change, name) for name in before.__struct_fields__})
