"""Scope strings, patterns, and what of a request is granted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.registry.model import ACTIONS, Grant
from kokiris.registry.scopes import (
    Rights,
    Scope,
    format_scope,
    granted,
    is_repository,
    matches,
    parse_grant,
    parse_scope,
    parse_scopes,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("repository:alice/tiny:pull", Scope("repository", "alice/tiny", ("pull",))),
        ("repository:alice/tiny:push,pull", Scope("repository", "alice/tiny", ("push", "pull"))),
        ("repository:host:5000/a/b:pull,push", Scope("repository", "host:5000/a/b", ("pull", "push"))),
        ("repository(plugin):a/b:pull", Scope("repository", "a/b", ("pull",))),
        ("registry:catalog:*", Scope("registry", "catalog", ("*",))),
        ("repository:a:pull,pull,,push", Scope("repository", "a", ("pull", "push"))),
        ("repository:a:", Scope("repository", "a", ())),
        ("repository:a", None),
        ("repository", None),
        ("", None),
        (":a:pull", None),
        ("repository::pull", None),
    ],
)
def test_parse(text: str, expected: Scope | None) -> None:
    assert parse_scope(text) == expected


def test_several_in_one_string_and_repeated_are_merged() -> None:
    found = parse_scopes(["repository:a/new:pull,push repository:b/tiny:pull", "repository:a/new:delete", "nonsense"])
    assert found == (Scope("repository", "a/new", ("pull", "push", "delete")), Scope("repository", "b/tiny", ("pull",)))


names = st.text("abcxyz0189/.-_:", min_size=1, max_size=20)
actions = st.lists(st.sampled_from(["pull", "push", "delete", "*", "fly"]), unique=True, max_size=4)
scopes = st.builds(Scope, st.sampled_from(["repository", "registry", "plugin"]), names, actions.map(tuple))


@given(scopes)
def test_parse_is_the_inverse_of_format(scope: Scope) -> None:
    assert parse_scope(format_scope(scope)) == scope


@given(st.text())
def test_any_text_is_parsed_or_not_a_scope(text: str) -> None:
    for scope in parse_scopes([text]):
        assert scope.type
        assert scope.name


patterns = st.sampled_from(["**", "*", "a/*", "a/**", "b", "a/b/*", "*/x"])
grants = st.builds(
    lambda pattern, chosen: Grant(Repository=pattern, Actions=sorted(chosen)),
    patterns,
    st.sets(st.sampled_from(ACTIONS)),
)


@given(st.lists(grants, max_size=4), st.lists(scopes, max_size=5))
def test_never_more_than_asked_nor_than_allowed(given_grants: list[Grant], asked: list[Scope]) -> None:
    rights = Rights(tuple(given_grants))
    for one in granted(rights, asked):
        assert one.type == "repository"
        assert is_repository(one.name)
        wanted = [scope for scope in asked if (scope.type, scope.name) == (one.type, one.name)]
        assert wanted
        assert all(any(action in scope.actions or "*" in scope.actions for scope in wanted) for action in one.actions)
        assert all(
            any(matches(grant.Repository, one.name) and action in grant.Actions for grant in given_grants)
            for action in one.actions
        )


def test_everything_means_all_repositories_and_the_catalog() -> None:
    asked = (Scope("repository", "a/b", ("*",)), Scope("registry", "catalog", ("*",)), Scope("plugin", "x", ("pull",)))
    found = granted(Rights(everything=True), asked)
    assert found == (Scope("repository", "a/b", ACTIONS), Scope("registry", "catalog", ("*",)))
    assert granted(Rights((Grant(Repository="**", Actions=["pull"]),)), asked) == (
        Scope("repository", "a/b", ("pull",)),
    )


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("shop/*", "shop/web", True),
        ("shop/*", "shop/web/base", False),
        ("shop/**", "shop/web/base", True),
        ("shop/*", "shopping/web", False),
        ("**", "a/b/c", True),
        ("*", "a", True),
        ("*", "a/b", False),
        ("a.b", "axb", False),
    ],
)
def test_patterns(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    "wrong", ["", "shop", "shop:", ":pull", "shop:fly", "Shop:pull", "a b:pull", "*" * 300 + ":pull"]
)
def test_wrong_grants_are_named(wrong: str) -> None:
    with pytest.raises(BadInput):
        parse_grant(wrong)
