"""`kokiris logs QUERY`: searches the log entries of all jobs through the Elasticsearch API."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from kokiris.cli.client import ApiError, Client
from kokiris.cli.flags import Command, flag, value
from kokiris.cli.session import open_client
from kokiris.kernel.errors import BadInput, KokirisError
from kokiris.logs.model import message_field

PAGE = 1000
FOLLOW_EVERY_S = 0.7
OVERLAP_S = 5
"""How far back each look goes while following: entries become visible out of their order."""
_SINCE = re.compile(r"\d+(?:ms|[smhdwMy])")
_TIME = re.compile(r"\d{4}|now")
_COLOURS = {"error": "red", "fatal": "red", "warn": "yellow", "debug": "bright_black", "trace": "bright_black"}


@click.command(
    "logs",
    cls=Command,
    examples="kokiris logs 'job:shop and status >= 500' -since 1h -f\nkokiris logs -n 20 'level:error'\n"
    "kokiris logs 'job:shop and stream:event' -since 1h -f\n"
    "kokiris logs -lucene 'job:shop AND \"connection reset\"'",
)
@click.argument("query", required=False, default="")
@value("since", "How far back, as 15m, 1h, 7d, or a time (default: 1h).", default="1h", metavar="AGE")
@value("until", "Up to when; the same forms.", metavar="AGE")
@value("n", "At most so many entries, the newest (default: 1000).", default=PAGE, kind=int, metavar="COUNT")
@flag("f", "Go on with what comes in from now on.")
@flag("json", "Whole entries, one JSON object a line.")
@flag("lucene", "The query is in Lucene's syntax instead of KQL.")
def search_command(query: str, **given: Any) -> None:
    """Finds log entries: `job:shop`, `level:error`, `status >= 500`, words, "phrases", and, or, not, (…).

    `stream` is stdout or stderr for a task's output, access for routed requests, event for what happened to jobs,
    deployments, allocations and nodes."""
    since, until = (time_text(f"-{name}", given[name]) for name in ("since", "until"))
    asked = Asked(query, since=since, until=until, lucene=given["lucene"])
    client = open_logs()
    try:
        shown = Shown(as_json=given["json"])
        for entry in newest(client, asked, given["n"]):
            shown.show(entry)
        if given["f"]:
            _follow(client, asked, shown)
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for. `since` and `until` as Elasticsearch reads them; `until` "" is now."""

    query: str
    since: str
    until: str = ""
    lucene: bool = False

    def body(self) -> dict[str, Any]:
        """The query DSL."""
        kind = "query_string" if self.lucene else "kql"
        span = {"gte": self.since, **({"lte": self.until} if self.until else {})}
        wanted = [{kind: {"query": self.query}}] if self.query.strip() else []
        return {"bool": {"filter": [{"range": {"@timestamp": span}}, *wanted]}}


class Shown:
    """Prints each entry once."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._seen: dict[str, None] = {}

    def show(self, hit: dict[str, Any]) -> None:
        """Unless it was printed already."""
        if hit["_id"] in self._seen:
            return
        self._seen[hit["_id"]] = None
        while len(self._seen) > 50_000:
            del self._seen[next(iter(self._seen))]
        source = hit["_source"]
        text = msgspec.json.encode(source).decode() if self._as_json else line_of(source, colour=sys.stdout.isatty())
        click.echo(text)


def line_of(source: dict[str, Any], *, colour: bool = False) -> str:
    """Time, level, where from, message."""
    when = str(source.get("@timestamp", ""))[:23].replace("T", " ")
    level = str(source.get("level", ""))
    place = "/".join(str(source[name]) for name in ("job", "task") if source.get(name)) or str(source.get("node", ""))
    alloc = str(source.get("alloc", ""))[:8]
    kind = "event" if source.get("stream") == "event" else ""
    named = message_field(source)
    if named is not None:
        message = source[named]
    else:
        message = msgspec.json.encode({name: one for name, one in source.items() if name != "@timestamp"}).decode()
    shown = click.style(f"{level or '-':5}", fg=_COLOURS.get(level)) if colour else f"{level or '-':5}"
    return f"{when} {shown} {' '.join(part for part in (place, alloc, kind) if part)}: {printable(message)}"


def printable(text: str) -> str:
    """Without control characters that a terminal would obey."""
    return "".join(char if char >= " " or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def time_text(name: str, given: str) -> str:
    """ "1h" is "now-1h"; "" and times stay. Raises BadInput, with the flag's name, for what is neither."""
    if _SINCE.fullmatch(given):
        return f"now-{given}"
    if given and not _TIME.match(given):
        raise BadInput(
            f'{name} "{given}" is neither an age nor a time',
            next_step='Write an age as 15m, 1h, 7d, or a time as 2026-11-30 or "2026-11-30T15:04:05Z".',
        )
    return given


def newest(client: Client, asked: Asked, count: int) -> Iterator[dict[str, Any]]:
    """The newest `count` hits, oldest first."""
    if count <= 0:
        return
    found: list[dict[str, Any]] = []
    after: list[Any] | None = None
    while len(found) < count:
        body = {"query": asked.body(), "size": min(PAGE, count - len(found)), "track_total_hits": False}
        hits = _search(client, {**body, "sort": [{"@timestamp": "desc"}, {"_doc": "desc"}]}, after)
        found += hits
        if len(hits) < body["size"]:  # type: ignore[operator]  # an int
            break
        after = hits[-1]["sort"]
    yield from reversed(found)


def _follow(client: Client, asked: Asked, shown: Shown) -> None:
    while True:
        time.sleep(FOLLOW_EVERY_S)
        recent = replace(asked, since=f"now-{OVERLAP_S}s", until="")
        for entry in newest(client, recent, 10 * PAGE):
            shown.show(entry)
        sys.stdout.flush()


def _search(client: Client, body: dict[str, Any], after: list[Any] | None) -> list[dict[str, Any]]:
    try:
        answer = client.request("POST", "/_search", body={**body, **({"search_after": after} if after else {})})
    except ApiError as error:
        raise _explained(error) from error
    hits: list[dict[str, Any]] = answer.data["hits"]["hits"]
    return hits


def _explained(error: ApiError) -> KokirisError:
    """The reason out of Elasticsearch's form of an error, with the place that is wrong."""
    try:
        cause = msgspec.json.decode(error.body)["error"]
        return BadInput(str(cause["reason"]), next_step=cause.get("next_step"))
    except (msgspec.DecodeError, KeyError, TypeError):
        return error


def open_logs() -> Client:
    """The client of the log search: at `KOKIRIS_LOGS_ADDR`, or where NOMAD_ADDR's infra has its `kib.` address."""
    nomad = open_client()
    address = os.environ.get("KOKIRIS_LOGS_ADDR") or logs_address(nomad.endpoint.address)
    return Client(replace(nomad.endpoint, address=address, namespace=""))


def logs_address(nomad_address: str) -> str:
    """`https://nomad.rec1.demo.<domain>` → `https://kib.demo.<domain>`. Raises BadInput for another form."""
    parts = urlsplit(nomad_address)
    match = re.fullmatch(r"nomad\.(?:rec|ppd|prd)\d+\.(.+)", parts.hostname or "")
    if match is None:
        raise BadInput(
            f"NOMAD_ADDR {nomad_address} does not tell where the log search is",
            next_step="Export KOKIRIS_LOGS_ADDR, as https://kib.CLIENT.DOMAIN.",
        )
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://kib.{match[1]}{port}"
