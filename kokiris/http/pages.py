"""Plain pages for people, the same at every door: one style, one frame, HTML that cannot be broken out of.

No script at all; the web console comes on top of the same APIs. Light and dark, wide and narrow, by keyboard alone.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import falcon.asgi

from kokiris.kernel.names import Addresses

_STYLE = """
:root{color-scheme:light dark;--text:#1d2330;--soft:#5b6472;--line:#dde1e7;--band:#f4f6f8;--page:#fff;--link:#0b57d0;
--ok:#14713d;--warn:#8a6100;--bad:#b3261e;--mark:#ffe9a8}
@media(prefers-color-scheme:dark){:root{--text:#e4e7ec;--soft:#9aa4b2;--line:#333a45;--band:#1d222a;--page:#14171c;
--link:#8ab4f8;--ok:#57c785;--warn:#e3b341;--bad:#ff8a80;--mark:#5c4a00}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:76rem;padding:0 1rem 3rem;color:var(--text);
background:var(--page)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;align-items:center;padding:.7rem 0;border-bottom:1px solid var(--line)}
nav b{margin-right:.4rem}nav a{padding:.25rem 0;text-decoration:none}
nav a[aria-current]{color:var(--text);font-weight:600;border-bottom:2px solid var(--link)}nav form{margin-left:auto}
a{color:var(--link)}h1{font-size:1.4rem;margin:1.2rem 0 .6rem}h2{font-size:1.1rem;margin:1.8rem 0 .5rem}
form.line{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center}form.line input:not([type=checkbox]){flex:1 1 16rem}
input,button,select{font:inherit;color:inherit;background:var(--page);padding:.45rem .7rem;min-width:0;
border:1px solid var(--soft);border-radius:.4rem}button{background:var(--band);cursor:pointer}
:focus-visible{outline:3px solid var(--link);outline-offset:1px}label{white-space:nowrap}
.cards{display:flex;flex-wrap:wrap;gap:.7rem}.card{border:1px solid var(--line);border-radius:.5rem;
padding:.6rem .9rem;min-width:8.5rem}.card b{font-size:1.4rem;display:block;line-height:1.2}
form.line{margin-top:1rem}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.4rem .9rem .4rem .5rem;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;background:var(--band);white-space:nowrap}td ul{margin:.2rem 0 0;padding-left:1.1rem}
code,pre{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
pre{white-space:pre-wrap;margin:0}pre.box{background:var(--band);border:1px solid var(--line);border-radius:.4rem;
padding:.7rem .9rem}details{margin-top:1.8rem}summary{cursor:pointer;font-weight:600;margin-bottom:.5rem}
@media(min-width:44.01rem){td:first-child code,td[data-label=Service] code{overflow-wrap:normal}}
.ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad);font-weight:600}.soft{color:var(--soft)}
.note{border:1px solid;border-radius:.4rem;padding:.5rem .8rem}mark{background:var(--mark);color:inherit}
.row{border-bottom:1px solid var(--line);padding:.35rem 0 .35rem .6rem;border-left:3px solid transparent}
.row>span{font-size:13px;color:var(--soft)}.event{background:var(--band);border-left-color:var(--link)}
.event[data-level=warn]{border-left-color:var(--warn)}.event[data-level=error]{border-left-color:var(--bad)}
.badge{border:1px solid var(--line);border-radius:.2rem;padding:0 .35rem}
@media(max-width:44rem){thead{display:none}table,tbody,tr,td{display:block}tr{border-bottom:2px solid var(--line);
padding:.4rem 0}td{border:0;padding:.15rem 0;overflow-wrap:anywhere}
td:not(:empty):before{content:attr(data-label);display:inline-block;min-width:7rem;font-size:12px;color:var(--soft)}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' "
    "rx='3' fill='%230b57d0'/%3E%3Cpath d='M5 3v10M11 4 6 8l5 4' stroke='white' stroke-width='2' fill='none'/%3E"
    "%3C/svg%3E"
)
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""A page loads nothing, is framed by nobody, and is kept nowhere."""

_TONES = {
    **dict.fromkeys(("passing", "running", "ready", "successful", "enabled", "up", "UP"), "ok"),
    **dict.fromkeys(("warning", "warn", "pending", "initializing"), "warn"),
    **dict.fromkeys(("critical", "failed", "lost", "down", "DOWN", "disabled", "expired", "error", "fatal"), "bad"),
}


class Markup(str):
    """HTML that is meant as such; every other text is escaped."""

    __slots__ = ()


def escaped(value: object) -> str:
    """`value` as HTML text."""
    return value if isinstance(value, Markup) else html.escape(str(value))


def marked(word: str) -> Markup:
    """A state word in its colour; the word itself says all."""
    return Markup(f'<span class="{_TONES.get(word, "")}">{html.escape(word)}</span>')


def code(text: str) -> Markup:
    """A name or rule as it is typed; it may break anywhere."""
    return Markup(f"<code>{html.escape(text)}</code>")


def joined(parts: Iterable[object]) -> Markup:
    """Each on a line of its own."""
    return Markup("<br>".join(map(escaped, parts)))


def note(text: str) -> Markup:
    """Something that went wrong, for all to see; nothing without text."""
    return Markup(f'<p class="bad note" role="alert">{html.escape(text)}</p>' if text else "")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "None.") -> Markup:
    """A table; cells are escaped unless they are Markup. Without rows it says `empty`. Narrow screens show each row
    as a list."""
    body = "".join(f"<tr>{''.join(map(_cell, head, row))}</tr>" for row in rows)
    if not body:
        return Markup(f'<p class="soft">{html.escape(empty)}</p>')
    titles = "".join(f'<th scope="col">{escaped(title)}</th>' for title in head)
    return Markup(f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>')


def _cell(title: str, value: object) -> str:
    return f'<td data-label="{html.escape(title)}">{escaped(value)}</td>'


def section(title: str, content: Markup) -> Markup:
    """A heading and what it is about."""
    return Markup(f"<h2>{escaped(title)}</h2>{content}")


def commands(title: str, *lines: str, shown: bool = False) -> Markup:
    """Commands to copy, folded away unless `shown`."""
    text = html.escape("\n".join(lines))
    opened = " open" if shown else ""
    return Markup(f'<details{opened}><summary>{escaped(title)}</summary><pre class="box">{text}</pre></details>')


@dataclass(frozen=True, slots=True)
class Door:
    """An address that people open: `word` is its first label."""

    word: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around every page of an infra: its name, and the way to its other doors. Without doors, none is shown."""

    infra: str = "kokiris"
    doors: tuple[Door, ...] = ()

    @staticmethod
    def of(addresses: Addresses, https_port: int) -> Frame:
        """The doors that have pages, in the order of the design's table."""
        suffix = "" if https_port == 443 else f":{https_port}"
        words = (
            ("traefikadmin", "Routing", addresses.traefikadmin, "/dashboard/"),
            ("consul", "Discovery", addresses.consul, "/ui/"),
            ("nomad", "Orchestrator", addresses.nomad, "/ui/"),
            ("pma", "Databases", addresses.pma, "/"),
            ("registry", "Registry", addresses.registry, "/"),
            ("kib", "Logs", addresses.kib, "/"),
        )
        doors = tuple(Door(word, title, f"https://{host}{suffix}{path}") for word, title, host, path in words)
        return Frame(str(addresses.name), doors)

    def send(self, resp: falcon.asgi.Response, here: str, title: str, content: Markup, *, sign_out: str = "") -> None:
        """Sends a whole page of the door called `here`. `sign_out` is where its button posts to; "": no button."""
        resp.content_type = "text/html; charset=utf-8"
        for name, value in HEADERS.items():
            resp.set_header(name, value)
        resp.text = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<title>{escaped(title)} · {escaped(self.infra)}</title><link rel="icon" href="{_ICON}">'
            f"<style>{_STYLE}</style></head><body>{self._navigation(here, sign_out)}"
            f"<main><h1>{escaped(title)}</h1>{content}</main></body></html>"
        )

    def _navigation(self, here: str, sign_out: str) -> str:
        links = "".join(
            f'<a href="{html.escape(door.url)}"{" aria-current=page" if door.word == here else ""}>{door.title}</a>'
            for door in self.doors
        )
        button = (
            f'<form method="post" action="{html.escape(sign_out)}"><button>Sign out</button></form>' if sign_out else ""
        )
        return f'<nav aria-label="Doors of the infra"><b>{escaped(self.infra)}</b>{links}{button}</nav>'


ALONE = Frame()
"""For a door that stands by itself, as in tests."""
