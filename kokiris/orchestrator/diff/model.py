"""A plan's diff as the API answers it. Lists are null when they are empty, as Go writes them."""

from __future__ import annotations

import msgspec

NONE = "None"
ADDED = "Added"
DELETED = "Deleted"
EDITED = "Edited"


class FieldDiff(msgspec.Struct, kw_only=True):
    """One value, before and after, both as text."""

    Type: str = NONE
    Name: str = ""
    Old: str = ""
    New: str = ""
    Annotations: list[str] | None = None


class ObjectDiff(msgspec.Struct, kw_only=True):
    """A block, before and after."""

    Type: str = NONE
    Name: str = ""
    Fields: list[FieldDiff] | None = None
    Objects: list[ObjectDiff] | None = None


Changed = FieldDiff | ObjectDiff
"""What objects are made of."""


class TaskDiff(msgspec.Struct, kw_only=True):
    """A task, before and after; annotations say what the change forces."""

    Type: str = NONE
    Name: str = ""
    Fields: list[FieldDiff] | None = None
    Objects: list[ObjectDiff] | None = None
    Annotations: list[str] | None = None


class TaskGroupDiff(msgspec.Struct, kw_only=True):
    """A group, before and after; `Updates` counts what would happen to its allocations."""

    Type: str = NONE
    Name: str = ""
    Fields: list[FieldDiff] | None = None
    Objects: list[ObjectDiff] | None = None
    Tasks: list[TaskDiff] | None = None
    Updates: dict[str, int] | None = None


class JobDiff(msgspec.Struct, kw_only=True):
    """A job, before and after."""

    Type: str = NONE
    ID: str = ""
    Fields: list[FieldDiff] | None = None
    Objects: list[ObjectDiff] | None = None
    TaskGroups: list[TaskGroupDiff] | None = None
