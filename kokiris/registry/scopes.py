"""Scopes as clients ask for them, and what of it an account may do. Pure.

A scope is `type:name:actions`, for instance `repository:shop/web:pull,push`. The name may hold colons (`host:port/…`),
so the type ends at the first colon and the actions begin after the last. Too little permission is no error: the answer
is the intersection, maybe nothing, and the registry then refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from kokiris.kernel.errors import BadInput
from kokiris.registry.model import ACTIONS, Grant

MAX_SCOPES = 64
_CLASS = re.compile(r"\([^)]*\)$")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_PATTERN = re.compile(r"[a-z0-9._/*-]{1,255}")


@dataclass(frozen=True, slots=True)
class Scope:
    """One request for rights. `actions` in the order asked, each once."""

    type: str
    name: str
    actions: tuple[str, ...]


def parse_scope(text: str) -> Scope | None:
    """None for what is not a scope: such a thing gives no right, and is no error either."""
    kind, first, rest = text.partition(":")
    name, last, actions = rest.rpartition(":")
    if not first or not last or not name:
        return None
    wanted = tuple(dict.fromkeys(one for one in actions.split(",") if one))
    return Scope(_CLASS.sub("", kind), name, wanted) if kind else None


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Repeated parameters, each of one or several scopes with spaces between. The same resource twice is merged."""
    merged: dict[tuple[str, str], dict[str, None]] = {}
    for text in texts:
        for word in text.split():
            scope = parse_scope(word)
            if scope is not None and (len(merged) < MAX_SCOPES or (scope.type, scope.name) in merged):
                merged.setdefault((scope.type, scope.name), {}).update(dict.fromkeys(scope.actions))
    return tuple(Scope(kind, name, tuple(actions)) for (kind, name), actions in merged.items())


def format_scope(scope: Scope) -> str:
    """The inverse of `parse_scope`."""
    return f"{scope.type}:{scope.name}:{','.join(scope.actions)}"


@dataclass(frozen=True, slots=True)
class Rights:
    """What somebody may do at all. `everything`: all actions on all repositories, and the catalog."""

    grants: tuple[Grant, ...] = ()
    everything: bool = False

    def on(self, repository: str) -> frozenset[str]:
        """The actions on one repository."""
        if self.everything:
            return frozenset(ACTIONS)
        return frozenset(
            action for grant in self.grants if matches(grant.Repository, repository) for action in grant.Actions
        )


def granted(rights: Rights, scopes: Sequence[Scope]) -> tuple[Scope, ...]:
    """The part of `scopes` that `rights` allow; a resource with nothing left is left out.

    Asking for "*" asks for all there is. The catalog (`registry:catalog:*`) is for those who may do everything.
    """
    found = []
    for scope in scopes:
        actions = _allowed(rights, scope)
        if actions:
            found.append(Scope(scope.type, scope.name, actions))
    return tuple(found)


def _allowed(rights: Rights, scope: Scope) -> tuple[str, ...]:
    if scope.type == "registry":
        return scope.actions if rights.everything and scope.name == "catalog" else ()
    if scope.type != "repository" or not is_repository(scope.name):
        return ()
    have = rights.on(scope.name)
    wanted: tuple[str, ...] = ()
    for action in scope.actions:
        wanted += ACTIONS if action == "*" else (action,)
    return tuple(dict.fromkeys(action for action in wanted if action in have))


def without_action(scopes: Sequence[Scope], action: str) -> tuple[Scope, ...]:
    """Those that still ask for something, without `action`."""
    left = (Scope(one.type, one.name, tuple(each for each in one.actions if each != action)) for one in scopes)
    return tuple(one for one in left if one.actions)


def is_repository(name: str) -> bool:
    """Whether the registry could have a repository of this name."""
    return len(name) <= 255 and _REPOSITORY.fullmatch(name) is not None


def matches(pattern: str, repository: str) -> bool:
    """Whether a pattern covers a repository: "*" is any text without "/", "**" any text."""
    return _compiled(pattern).fullmatch(repository) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*+)", pattern)
    texts = {"*": "[^/]*"}
    return re.compile("".join(texts.get(part, ".*") if part.startswith("*") else re.escape(part) for part in parts))


def check_pattern(pattern: str) -> str:
    """The pattern itself. Raises BadInput for one that could match no repository's name."""
    if not _PATTERN.fullmatch(pattern) or pattern.count("*") > 8:
        raise BadInput(
            f'"{pattern[:100]}" is not a pattern of repository names',
            next_step='Write a name in lower case; "*" stands for any text without "/", "**" for any text: "shop/*".',
        )
    return pattern


def parse_grant(text: str) -> Grant:
    """`shop/*:pull,push`. Raises BadInput naming the part that is wrong."""
    pattern, colon, actions = text.rpartition(":")
    wanted = [one.strip() for one in actions.split(",") if one.strip()]
    wrong = [one for one in wanted if one not in ACTIONS]
    if not colon or not wanted or wrong:
        what = f'action "{wrong[0]}" of scope "{text}" is unknown' if wrong and colon else f'"{text}" is not a scope'
        raise BadInput(what, next_step="Write PATTERN:ACTIONS with actions pull, push, delete: shop/*:pull,push")
    return Grant(Repository=check_pattern(pattern), Actions=[one for one in ACTIONS if one in wanted])
