"""The references inside an expression."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from kokiris.orchestrator.jobspec.syntax import Expression, Node, Reference


def references_of(node: Expression) -> Iterator[Reference]:
    """Every reference in the expression, those to names of its own `for` included. No recursion."""
    pending: list[Any] = [node]
    while pending:
        item = pending.pop()
        if isinstance(item, Reference):
            yield item
        if isinstance(item, tuple):
            pending.extend(item)
        elif isinstance(item, Node) or dataclasses.is_dataclass(item):
            pending.extend(
                getattr(item, field.name) for field in dataclasses.fields(item) if field.name not in {"source"}
            )
