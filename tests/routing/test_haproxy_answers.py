"""HAProxy, loaded with compiled tables, answers as the reference evaluator says, for random rule sets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import strategies as st

from kokiris.routing.compiler import Route, compile_routes
from kokiris.routing.evaluator import Request, by_priority, matches
from kokiris.routing.haproxy.config import NOWHERE
from kokiris.routing.haproxy.driver import HaproxyDriver
from kokiris.routing.haproxy.files import HaproxyFiles
from kokiris.routing.haproxy.runtime import HaproxyAway
from kokiris.routing.plan import Plan, maps_of
from kokiris.routing.rules import And, Expression, Matcher, Not, Or

pytestmark = pytest.mark.engine

HOSTS = ["a.test", "b.test", "c.a.test", "d.a.test", "x", "other.example"]
SPELLINGS = ["A.Test", "a.test.", "a.test:80", "a.test.:80"]
PATTERNS = ["a.test", "b.test", "c.a.test", "x", "*.a.test", "*.test", "*"]
PATHS = ["/", "/a", "/a/", "/a/b", "/ab", "/é", "/a b", "/a;b"]
ASKED = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/abc", "/c", "/%C3%A9", "/%c3%a9", "/a%20b", "/%61", "//a",
         "/x/../a/b", "/a/./b", "/a/b/..", "/a;b", "/a?q=/a/b", "/%2e%2e/a/b"]  # fmt: skip

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
    max_leaves=5,
)
rule_sets = st.lists(st.tuples(expressions, st.integers(0, 3)), min_size=1, max_size=6)

STATUS = {"vip": 200, "s00000": 503, NOWHERE: 404, "redirect": 308}
"""Each target answers in its own way; the slot is empty."""
TARGETS = ["vip", "s00000", "redirect"]


def expected(routes: list[Route], host: str, path: str) -> int:
    request = Request(host, path.partition("?")[0])
    found = (route.target for route in by_priority(routes) if matches(route.expression, request))
    return STATUS[next(found, NOWHERE)]


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str) -> int:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next((int(line.partition(":")[2]) for line in head.splitlines() if line.startswith("content-length")), 0)
    await reader.readexactly(length)
    return int(head.split(" ")[1])


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
async def test_haproxy_answers_as_the_rules_do(node: Any, wait_for: Any) -> None:
    """One HAProxy takes one rule set after the other by transactions, as in service."""
    node.serve_rpc_at(1)
    node.start_haproxy()
    driver = HaproxyDriver(HaproxyFiles.of(node.layout))

    async def connected() -> bool:
        try:
            await driver.live()
        except HaproxyAway:
            return False
        return True

    await wait_for(connected, "HAProxy's socket")
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    for _ in range(40):
        pairs = rule_sets.example()
        routes = [
            Route(f"r{number}", priority, expression, TARGETS[number % 3])
            for number, (expression, priority) in enumerate(pairs)
        ]
        plan = Plan(tables={"web": compile_routes(routes, nowhere=NOWHERE)})
        await driver.apply(plan.servers, maps_of(plan))
        for host in [*HOSTS, *SPELLINGS]:
            for path in ASKED:
                got = await ask(reader, writer, host, path)
                assert got == expected(routes, host, path), (host, path, routes)
    writer.close()
    await driver.close()
