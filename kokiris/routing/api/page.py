"""The dashboard's content: counters, routers with their errors, services with their servers, certificates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from kokiris.http.pages import Markup, code, commands, escaped, joined, marked, note, section, table

Shape = Mapping[str, Any]

HERE, TITLE = "traefikadmin", "Routing"
_ROUTERS = ("Router", "Status", "Rule", "Service", "Entry points")
_SERVICES = ("Service", "Status", "Servers", "Used by")
_CERTIFICATES = ("Names", "Status", "Issuer", "Until")


def dashboard(
    overview: Shape,
    routers: Sequence[Shape],
    services: Sequence[Shape],
    certificates: Sequence[Shape],
    *,
    search: str = "",
    haproxy_error: str = "",
) -> Markup:
    """All of it, or what matches `search`."""
    return Markup(
        f"{note(f'HAProxy: {haproxy_error}' if haproxy_error else '')}{_cards(overview)}"
        f"{_problems(overview['problems'])}{_search(search)}"
        f"{section('Routers', table(_ROUTERS, map(_router, routers)))}"
        f"{section('Services', table(_SERVICES, map(_service, services)))}"
        f"{section('Certificates', table(_CERTIFICATES, map(_certificate, certificates)))}"
        + commands(
            "From the command line: Traefik's read API is at this address, for whoever sends the token",
            'eval "$(kokiris env)"',
            "address=${NOMAD_ADDR/nomad./traefikadmin.}",
            'curl --cacert "$NOMAD_CACERT" -H "X-Nomad-Token: $NOMAD_TOKEN" "$address/api/http/routers"',
            'curl --cacert "$NOMAD_CACERT" -H "X-Nomad-Token: $NOMAD_TOKEN" "$address/api/explain?url=https://www.site.localhost/"',
        )
    )


def _search(search: str) -> str:
    return (
        f'<form class="line" method="get" action="/dashboard/"><input type="search" name="search" '
        f'value="{escape(search)}" placeholder="host, router, service" aria-label="Search">'
        "<button>Search</button></form>"
    )


def _cards(overview: Shape) -> str:
    counted = (
        ("Routers", overview["http"]["routers"]),
        ("Services", overview["http"]["services"]),
        ("Certificates", overview["certificates"]),
    )
    cards = "".join(
        f'<div class="card"><b>{count["total"]}</b>{name}<br>{_count(count["warnings"], "warning", "warn")}, '
        f"{_count(count['errors'], 'error', 'bad')}</div>"
        for name, count in counted
    )
    return f'<div class="cards">{cards}</div>'


def _count(number: int, word: str, tone: str) -> str:
    """Coloured only when there is something to see."""
    text = f"{number} {word}{'' if number == 1 else 's'}"
    return f'<span class="{tone if number else "soft"}">{text}</span>'


def _problems(problems: Sequence[Shape]) -> str:
    if not problems:
        return ""
    items = "".join(
        f'<li class="{"bad" if one["severity"] == "error" else "warn"}">'
        f"{escape(one['service'])}: {escape(one['text'])}</li>"
        for one in problems
    )
    return section("Tags", Markup(f"<ul>{items}</ul>"))


def _texts(shape: Shape) -> str:
    texts: Iterable[str] = shape.get("error") or ()
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def _router(one: Shape) -> list[object]:
    last = one.get("lastGood")
    still = f"<br>in service: {code(last['rule'])}" if last else ""
    return [
        Markup(f"{code(one['name'])}{_texts(one)}"),
        marked(one["status"]),
        Markup(f"{code(one['rule'])}{still}"),
        code(one["service"]),
        ", ".join(one["entryPoints"]),
    ]


def _service(one: Shape) -> list[object]:
    servers = joined(Markup(f"{code(url)} {marked(state)}") for url, state in one["serverStatus"].items())
    return [
        Markup(f"{code(one['name'])}{_texts(one)}"),
        marked(one["status"]),
        servers or ("the platform itself" if one["type"] == "internal" else "none"),
        joined(map(code, one["usedBy"])),
    ]


def _certificate(one: Shape) -> list[object]:
    names = one["sans"]
    more = f"and {len(names) - 3} more" if len(names) > 3 else ""
    shown = joined([*map(code, names[:3]), *([more] if more else [])])
    return [shown, marked(one["status"]), one["issuerCN"], escaped(one["notAfter"]).replace("T", " ")]
