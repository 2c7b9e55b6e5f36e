"""The rule language: what parses, what does not and why, and the reference evaluator."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import BadInput
from kokiris.routing.evaluator import Request, matches, routing_path
from kokiris.routing.rules import And, Matcher, Not, Or, hosts, not_acted_on, parse


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    a, b, c = (Matcher("Host", (name,)) for name in ("a", "b", "c"))
    assert parse("Host(`a`) || Host(`b`) && !Host(`c`)") == Or((a, And((b, Not(c)))))
    assert parse("(Host(`a`) || Host(`b`)) && Host(`c`)") == And((Or((a, b)), c))


@pytest.mark.parametrize("spelling", ["PathPrefix", "pathprefix", "PATHPREFIX", "Pathprefix"])
def test_four_spellings(spelling: str) -> None:
    assert parse(f"{spelling}(`/a`)") == Matcher("PathPrefix", ("/a",))


def test_hosts_are_canonical() -> None:
    assert hosts(parse('Host(`WWW.Example.org.`) || Host("b.test")')) == ["www.example.org", "b.test"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", "empty"),
        ("Host(`a`", 'expected ")"'),
        ("Host(a)", "column 6"),
        ("Host('a')", "back-quotes"),
        ("Host(``)", "empty value"),
        ("Host()", "back-quotes"),
        ("Host(`a`,`b`)", "takes 1 argument"),
        ("Hots(`a`)", '"Hots" is not a matcher'),
        ("Headers(`a`,`b`)", "not a matcher"),
        ("Host(`a`) Host(`b`)", "unexpected"),
        ("Host(`a`) &&", "the rule ends"),
        ("Host(`a b`)", "not a host name"),
        ("Host(`https://a`)", "not a host name"),
        ("Host(`é`)", "not a host name"),
        ("Path(`a`)", 'does not start with "/"'),
        ("HostRegexp(`(`)", "HostRegexp"),
        ("(" * 60 + "Host(`a`)" + ")" * 60, "nested"),
        ("!" * 60 + "Host(`a`)", "nested"),
        ("Host(`" + "a" * 9000 + "`)", "longer"),
    ],
)
def test_what_is_wrong_is_said(rule: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(rule)
    assert said in caught.value.message
    assert caught.value.next_step


@given(st.text(alphabet='Host(`a.b`)&|!" ,\\/é\n', max_size=60))
def test_garbage_never_ends_in_another_error(rule: str) -> None:
    with contextlib.suppress(BadInput):
        parse(rule)


def test_the_rest_of_the_grammar_is_named() -> None:
    rule = "HostRegexp(`a`) && (Header(`a`,`b`) || Query(`a`) || Method(`GET`)) && ClientIP(`10.0.0.0/8`)"
    assert not_acted_on(parse(rule)) == ["HostRegexp", "Header", "Query", "Method", "ClientIP"]
    assert not_acted_on(parse("Host(`a`) && !PathPrefix(`/a`)")) == []


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("Method(`get`)", True),
        ("Header(`x-a`,`1`)", True),
        ("HeaderRegexp(`X-A`,`^[0-9]$`)", True),
        ("Query(`q`,`1`)", True),
        ("Query(`empty`)", True),
        ("Query(`q`)", False),
        ("QueryRegexp(`q`,`[0-9]`)", True),
        ("ClientIP(`10.0.0.0/8`)", True),
        ("ClientIP(`::1`)", False),
        ("PathRegexp(`^/a/[a-z]+$`)", True),
        ("HostRegexp(`^www\\.`)", True),
        ("Host(`*.test`)", True),
    ],
)
def test_the_reference_knows_the_whole_grammar(rule: str, found: bool) -> None:
    request = Request(
        "WWW.test:443", "/a/b", headers={"X-a": ("0", "1")}, query={"q": ("1",), "empty": ("",)}, client_ip="10.1.2.3"
    )
    assert matches(parse(rule), request) is found


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/a/../b", "/b"),
        ("//a", "/a"),
        ("/a/.", "/a/"),
        ("/%61", "/a"),
        ("/%2f", "/%2F"),
        ("/a/%2e%2e/b", "/b"),
        ("/..", "/"),
    ],
)
def test_routing_path(path: str, clean: str) -> None:
    assert routing_path(path) == clean
