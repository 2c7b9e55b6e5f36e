"""Routers → tables that answer by look-up, exactly as the rules would in order of priority. Pure.

The hosts named in rules cut all hosts into classes: each exact name, each wildcard's other names, any other host. In a
class, the paths named in rules cut all paths into classes again: each exact path, and for each prefix the paths whose
longest named prefix it is. Every Host, Path and PathPrefix is constant in such a class, so that evaluating the rules
once per class gives the winner for all of it. HAProxy finds the class of hosts by one look-up for most requests (the
host itself, else its wildcard, else any), and only where paths matter asks a map of whole `class|path` keys, then one
for the longest beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from kokiris.routing.evaluator import by_priority, host_matches, path_key, wildcard_of
from kokiris.routing.rules import And, Expression, Matcher, Not, Or, hosts, matchers

ANY_HOST = "*"
PATHS = "="
"""Before the name of a class of hosts whose paths have different answers: look up `=class|path` instead."""
_ROOT = "/"


@dataclass(frozen=True, slots=True)
class Route:
    """A router at one entry point. `target` is what the maps answer: a backend, or a word of the configuration."""

    name: str
    priority: int
    expression: Expression
    target: str


@dataclass(slots=True)
class Tables:
    """`host`: exact name → target, or `=class`. `wild`: the same for `*.x`, and for `*`, any other host. `exact` and
    `prefix`: `=class|path` → target. `winners`: routes that answer something."""

    host: dict[str, str] = field(default_factory=dict)
    wild: dict[str, str] = field(default_factory=dict)
    exact: dict[str, str] = field(default_factory=dict)
    prefix: dict[str, str] = field(default_factory=dict)
    winners: set[str] = field(default_factory=set)


HostTable = tuple[dict[str, str], dict[str, str], frozenset[str]]
"""Exact paths, prefixes, and names of the routes that win somewhere, for one class of hosts."""


class TableCompiler:
    """Tables of one entry point, brought up to date: classes of hosts that no changed route concerns are not solved
    again. The answers are those of compiling everything anew.

    `nowhere` is the target of what no route matches in a class that some route names. Rules hold only matchers that are
    acted on. Equal priorities are decided by name, so that every node decides alike.
    """

    def __init__(self, nowhere: str) -> None:
        self._nowhere = nowhere
        self._routes: dict[str, Route] = {}
        self._by_host: dict[str, set[str]] = {}
        self._open: set[str] = set()
        """Routes that can match a host they do not name."""
        self._solved: dict[str, HostTable] = {}
        self._tables = Tables()

    def update(self, routes: Iterable[Route]) -> Tables:
        """The tables for `routes`: the last ones themselves if nothing has changed, else new ones."""
        wanted = {route.name: route for route in routes}
        changed = [
            name
            for name in wanted.keys() | self._routes.keys()
            if (new := wanted.get(name)) is not (old := self._routes.get(name)) and new != old
        ]
        if not changed:
            return self._tables
        affected: set[str] = set()
        for name in changed:
            self._forget(self._routes.get(name), affected)
            self._learn(wanted.get(name), affected)
        self._routes = wanted
        self._tables = self._solve_again(self._widened(affected))
        return self._tables

    def _forget(self, route: Route | None, affected: set[str]) -> None:
        if route is None:
            return
        affected.update(hosts(route.expression))
        for host in hosts(route.expression):
            named = self._by_host.get(host)
            if named is not None:
                named.discard(route.name)
                if not named:
                    del self._by_host[host]
        if route.name in self._open:
            self._open.discard(route.name)
            affected.add(ANY_HOST)

    def _learn(self, route: Route | None, affected: set[str]) -> None:
        if route is None:
            return
        affected.update(hosts(route.expression))
        for host in hosts(route.expression):
            if host != ANY_HOST:
                self._by_host.setdefault(host, set()).add(route.name)
        if _possible(route.expression):
            self._open.add(route.name)
            affected.add(ANY_HOST)

    def _widened(self, affected: set[str]) -> set[str]:
        """With the names that a changed wildcard covers; all of them if a route that matches any host has changed."""
        if ANY_HOST in affected:
            return {*affected, *self._by_host, *self._solved}
        if any(host.startswith(ANY_HOST) for host in affected):
            affected |= {host for host in self._by_host if wildcard_of(host) in affected}
        return affected

    def _solve_again(self, classes: Iterable[str]) -> Tables:
        last = self._tables
        tables = Tables(dict(last.host), dict(last.wild), dict(last.exact), dict(last.prefix))
        for host in classes:
            solved = self._solved.pop(host, None)
            if solved is not None:
                _take_out(tables, host, solved)
            if host in self._by_host or (host == ANY_HOST and self._open):
                names = {*self._open, *self._by_host.get(host, ()), *self._by_host.get(wildcard_of(host), ())}
                relevant = by_priority(self._routes[name] for name in names)
                self._solved[host] = _solve(host, relevant, self._nowhere)
                _put_in(tables, host, self._solved[host], self._nowhere)
        tables.winners = set().union(*(solved[2] for solved in self._solved.values()))
        return tables


def _take_out(tables: Tables, host: str, solved: HostTable) -> None:
    (tables.wild if host.startswith(ANY_HOST) else tables.host).pop(host, None)
    for path in solved[0]:
        tables.exact.pop(f"{PATHS}{host}|{path}", None)
    for path in solved[1]:
        tables.prefix.pop(f"{PATHS}{host}|{path}", None)


def _put_in(tables: Tables, host: str, solved: HostTable, nowhere: str) -> None:
    exact, prefix, _ = solved
    classes = tables.wild if host.startswith(ANY_HOST) else tables.host
    if not exact and len(prefix) <= 1 and _ROOT in (prefix or {_ROOT: nowhere}):
        classes[host] = prefix.get(_ROOT, nowhere)
        return
    name = classes[host] = f"{PATHS}{host}"
    tables.exact.update((f"{name}|{path}", target) for path, target in exact.items())
    tables.prefix.update((f"{name}|{path}", target) for path, target in prefix.items())


def compile_routes(routes: Iterable[Route], *, nowhere: str) -> Tables:
    """Tables for one entry point, compiled from nothing."""
    return TableCompiler(nowhere).update(routes)


def look_up(tables: Tables, host: str, path: str, nowhere: str) -> str:
    """What HAProxy answers for a canonical host and routing path: the look-ups of its configuration, in Python."""
    for name, classes in ((host, tables.host), (wildcard_of(host), tables.wild), (ANY_HOST, tables.wild)):
        found = classes.get(name)
        if found is None:
            continue
        if not found.startswith(PATHS):
            return found
        key = f"{found}|{path}"
        return tables.exact.get(key) or _longest(tables.prefix, key, nowhere)
    return nowhere


def _possible(expression: Expression) -> bool:
    """Whether a host that the rule does not name could match it (paths being whatever they need to be)."""
    return _three_valued(expression) is not False


def _three_valued(expression: Expression) -> bool | None:
    match expression:
        case Matcher("Host", arguments):
            return arguments[0] == ANY_HOST
        case Matcher():
            return None
        case Not(operand):
            value = _three_valued(operand)
            return None if value is None else not value
        case And(operands):
            values = [_three_valued(operand) for operand in operands]
            return False if False in values else None if None in values else True
        case Or(operands):
            values = [_three_valued(operand) for operand in operands]
            return True if True in values else None if None in values else False


def _solve(host: str, routes: Sequence[Route], nowhere: str) -> HostTable:
    """The winner of every class of paths for one class of hosts, without the entries that change nothing."""
    exact_paths, prefixes = _paths(routes)
    winners: set[str] = set()

    def target(holds_path: Callable[[Matcher], bool]) -> str:
        route = _winner(routes, host, holds_path)
        if route is None:
            return nowhere
        winners.add(route.name)
        return route.target

    prefix: dict[str, str] = {}
    for path in sorted(prefixes):  # a prefix comes before all that it begins
        answer = target(partial(_prefix_holds, path))
        if answer != _longest(prefix, path, nowhere):
            prefix[path] = answer
    exact: dict[str, str] = {}
    for path in exact_paths:
        answer = target(partial(_path_holds, path))
        if answer != _longest(prefix, path, nowhere):
            exact[path] = answer
    return exact, prefix, frozenset(winners)


def _paths(routes: Iterable[Route]) -> tuple[set[str], set[str]]:
    exact: set[str] = set()
    prefixes = {_ROOT}
    for route in routes:
        for matcher in matchers(route.expression):
            if matcher.name == "Path":
                exact.add(path_key(matcher.arguments[0]))
            elif matcher.name == "PathPrefix":
                prefixes.add(path_key(matcher.arguments[0]))
    return exact, prefixes


def _longest(prefix: Mapping[str, str], path: str, unlisted: str) -> str:
    return next((prefix[path[:end]] for end in range(len(path), 0, -1) if path[:end] in prefix), unlisted)


def _winner(routes: Sequence[Route], host: str, holds_path: Callable[[Matcher], bool]) -> Route | None:
    return next((route for route in routes if _holds(route.expression, host, holds_path)), None)


def _holds(expression: Expression, host: str, holds_path: Callable[[Matcher], bool]) -> bool:
    match expression:
        case Matcher("Host", arguments):
            return _host_holds(arguments[0], host)
        case Matcher():
            return holds_path(expression)
        case Not(operand):
            return not _holds(operand, host, holds_path)
        case And(operands):
            return all(_holds(operand, host, holds_path) for operand in operands)
        case Or(operands):
            return any(_holds(operand, host, holds_path) for operand in operands)


def _host_holds(pattern: str, host: str) -> bool:
    """`host` is a class: an exact name, "*.x" (the names under x that no rule spells out), or "*" (all others)."""
    return pattern == host if host.startswith("*") and pattern != ANY_HOST else host_matches(pattern, host)


def _prefix_holds(prefix: str, matcher: Matcher) -> bool:
    """In the class of paths whose longest named prefix is `prefix`, and that no rule spells out."""
    return matcher.name == "PathPrefix" and prefix.startswith(path_key(matcher.arguments[0]))


def _path_holds(path: str, matcher: Matcher) -> bool:
    """In the class of the one path `path`."""
    key = path_key(matcher.arguments[0])
    return path == key if matcher.name == "Path" else path.startswith(key)
