"""Compiled tables answer as the rules do, for random rule sets, hosts and paths."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokiris.routing.compiler import Route, TableCompiler, compile_routes, look_up
from kokiris.routing.evaluator import Request, by_priority, canonical_host, matches, routing_path
from kokiris.routing.rules import And, Expression, Matcher, Not, Or, parse

NOWHERE = "nowhere"
HOSTS = ["a.test", "b.test", "c.a.test", "x", "deep.c.a.test"]
PATTERNS = [*HOSTS, "*.test", "*.a.test", "*"]
PATHS = ["/", "/a", "/a/", "/a/b", "/ab", "/b", "/a/b/c", "/é", "/a b"]
ASKED = [*PATHS, "/a/bc", "/abc", "/c", "/a/b/d", "/%C3%A9", "/a%20b", "/%61", "//a", "/x/../a/b", "/a/./b"]

atoms: st.SearchStrategy[Expression] = st.one_of(
    st.sampled_from(PATTERNS).map(lambda host: Matcher("Host", (host,))),
    st.sampled_from(PATHS).map(lambda path: Matcher("Path", (path,))),
    st.sampled_from(PATHS).map(lambda path: Matcher("PathPrefix", (path,))),
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    atoms,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda operands: And(tuple(operands))),
        st.lists(inner, min_size=2, max_size=3).map(lambda operands: Or(tuple(operands))),
    ),
    max_leaves=6,
)
rule_sets = st.lists(st.tuples(expressions, st.integers(0, 3)), max_size=6).map(
    lambda pairs: [
        Route(f"r{number}", priority, expression, f"t{number % 4}")
        for number, (expression, priority) in enumerate(pairs)
    ]
)


def expected(routes: list[Route], host: str, path: str) -> str:
    request = Request(host, path)
    return next((route.target for route in by_priority(routes) if matches(route.expression, request)), NOWHERE)


@settings(max_examples=400, deadline=None)
@given(rule_sets)
def test_tables_answer_as_the_rules_do(routes: list[Route]) -> None:
    tables = compile_routes(routes, nowhere=NOWHERE)
    for host in [*HOSTS, "other.test", "d.a.test", "unknown.example"]:
        for path in ASKED:
            if not path.isascii() or " " in path:
                continue  # no client can send these
            got = look_up(tables, canonical_host(host), routing_path(path), NOWHERE)
            assert got == expected(routes, host, path), (host, path)


@settings(max_examples=300, deadline=None)
@given(st.lists(rule_sets, max_size=4))
def test_tables_brought_up_to_date_are_those_compiled_anew(turns: list[list[Route]]) -> None:
    compiler = TableCompiler(NOWHERE)
    for routes in turns:
        assert compiler.update(routes) == compile_routes(routes, nowhere=NOWHERE)


def route(name: str, rule: str, priority: int | None = None) -> Route:
    return Route(name, len(rule.encode()) if priority is None else priority, parse(rule), name)


def test_longer_rules_win_and_the_shadowed_do_not() -> None:
    tables = compile_routes(
        [
            route("wide", "Host(`a.test`) || Host(`b.test`) || Host(`c.test`)"),
            route("api", "Host(`a.test`) && PathPrefix(`/api`)"),
        ],
        nowhere=NOWHERE,
    )
    assert look_up(tables, "a.test", "/api/1", NOWHERE) == "wide"
    assert tables.winners == {"wide"}


def test_a_single_host_needs_one_entry() -> None:
    tables = compile_routes([route("r", "Host(`a.test`)")], nowhere=NOWHERE)
    assert (tables.host, tables.wild, tables.exact, tables.prefix) == ({"a.test": "r"}, {}, {}, {})


@pytest.mark.parametrize(
    ("rule", "host", "path", "found"),
    [
        ("Host(`a.test`) && Path(`/x`)", "a.test", "/x", True),
        ("Host(`a.test`) && Path(`/x`)", "a.test", "/x/", False),
        ("Host(`a.test`) && PathPrefix(`/products`)", "a.test", "/products-for-sale", True),
        ("Host(`*.a.test`)", "one.a.test", "/", True),
        ("Host(`*.a.test`)", "a.test", "/", False),
        ("Host(`*.a.test`)", "one.two.a.test", "/", False),
        ("Host(`a.test`) && !PathPrefix(`/private`)", "a.test", "/private/x", False),
        ("Host(`a.test`) && !PathPrefix(`/private`)", "a.test", "/public", True),
        ("!Host(`a.test`)", "b.test", "/", True),
        ("!Host(`a.test`)", "a.test", "/", False),
        ("PathPrefix(`/`)", "anything", "/", True),
    ],
)
def test_semantics(rule: str, host: str, path: str, found: bool) -> None:
    tables = compile_routes([route("r", rule)], nowhere=NOWHERE)
    assert (look_up(tables, host, path, NOWHERE) == "r") is found
