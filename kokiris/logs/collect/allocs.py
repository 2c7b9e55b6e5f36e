"""Whose output a log folder holds: read from what the worker keeps of its allocations."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from kokiris.infra.config import Layout
from kokiris.logs.model import Origin

_ALLOC_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class _Allocation(msgspec.Struct, kw_only=True):
    ID: str = ""
    Namespace: str = ""
    JobID: str = ""
    TaskGroup: str = ""
    NodeName: str = ""


class _Kept(msgspec.Struct, kw_only=True):
    """`<data>/worker/allocs/<id>/alloc.json`: the worker's `KeptAlloc`, as far as it matters here."""

    Allocation: _Allocation


def alloc_ids(layout: Layout) -> list[str]:
    """Every allocation with a folder on this node."""
    try:
        return sorted(path.name for path in layout.allocs.iterdir() if _ALLOC_ID.fullmatch(path.name))
    except FileNotFoundError:
        return []


def log_folder(layout: Layout, alloc_id: str) -> Path:
    """Where the worker writes the output of its tasks."""
    return layout.allocs / alloc_id / "alloc" / "logs"


def read_origin(layout: Layout, alloc_id: str, infra: str, node: str) -> Origin | None:
    """Without task and stream; None as long as the worker keeps nothing readable of it."""
    try:
        raw = (layout.worker / "allocs" / alloc_id / "alloc.json").read_bytes()
        found = msgspec.json.decode(raw, type=_Kept).Allocation
    except (OSError, msgspec.MsgspecError):
        return None
    return Origin(
        infra=infra,
        namespace=found.Namespace,
        job=found.JobID,
        group=found.TaskGroup,
        alloc=alloc_id,
        node=found.NodeName or node,
    )
