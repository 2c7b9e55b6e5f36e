"""The dashboard as one HTML page: no script, no framework, readable on a phone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import falcon.asgi

Shape = Mapping[str, Any]

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--ok:#1a7f37;--warn:#9a6700;--bad:#cf222e}
*{box-sizing:border-box}body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:75rem;padding:1rem}
h1{font-size:1.3rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .5rem}
header{display:flex;flex-wrap:wrap;gap:1rem;align-items:center;justify-content:space-between}
form{display:flex;gap:.5rem}
input,button{font:inherit;padding:.4rem .6rem;border:1px solid var(--line);border-radius:.4rem}
.cards{display:flex;flex-wrap:wrap;gap:.7rem;margin-top:1rem}
.card{border:1px solid var(--line);border-radius:.5rem;padding:.6rem .9rem;min-width:8rem}
.card b{font-size:1.4rem;display:block}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .5rem;border-bottom:1px solid var(--line);
vertical-align:top;overflow-wrap:anywhere}th{font-weight:600;background:var(--soft)}
code{font:13px/1.4 ui-monospace,monospace}ul{margin:.3rem 0 0;padding-left:1.1rem}
.enabled,.UP{color:var(--ok)}.warning{color:var(--warn)}.disabled,.expired,.DOWN{color:var(--bad)}
.note{color:var(--bad);border:1px solid;border-radius:.4rem;padding:.5rem .8rem;margin-top:1rem}
@media(max-width:40rem){thead{display:none}tr{display:block;border-bottom:2px solid var(--line);padding:.4rem 0}
td{display:block;border:0;padding:.15rem 0}td:before{content:attr(data-label) " ";font-weight:600}}
"""


SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def document(title: str, body: str) -> str:
    """A whole page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )


def send(resp: falcon.asgi.Response, text: str = "") -> None:
    """`text` (if it is there already) as an HTML page that can load nothing and be framed by nobody."""
    resp.content_type = "text/html; charset=utf-8"
    for name, value in SECURITY_HEADERS.items():
        resp.set_header(name, value)
    if text:
        resp.text = text


def sign_in(infra: str, problem: str = "") -> str:
    """The form that asks for the token."""
    note = f'<p class="note">{escape(problem)}</p>' if problem else ""
    return document(
        f"Sign in · {infra}",
        f"<h1>Routing of {escape(infra)}</h1>{note}"
        '<p>Paste the infra\'s token (<code>NOMAD_TOKEN</code>).</p><form method="post" action="/dashboard/sign-in">'
        '<input type="password" name="token" autocomplete="current-password" required autofocus aria-label="Token">'
        "<button>Sign in</button></form>",
    )


def gate_sign_in(infra: str, action: str, problem: str = "") -> str:
    """The form before an add-on that is for the infra's people only."""
    note = f'<p class="note">{escape(problem)}</p>' if problem else ""
    return document(
        f"Sign in · {infra}",
        f"<h1>Databases of {escape(infra)}</h1>{note}<p>Paste the infra's token (<code>NOMAD_TOKEN</code>). Then "
        f'phpMyAdmin asks for the account of your database.</p><form method="post" action="{escape(action)}">'
        '<input type="password" name="token" autocomplete="current-password" required autofocus aria-label="Token">'
        "<button>Sign in</button></form>",
    )


def dashboard(
    infra: str,
    overview: Shape,
    routers: Sequence[Shape],
    services: Sequence[Shape],
    certificates: Sequence[Shape],
    *,
    search: str = "",
    haproxy_error: str = "",
) -> str:
    """Counters, routers with their errors, services with their servers, certificates."""
    note = f'<p class="note">HAProxy: {escape(haproxy_error)}</p>' if haproxy_error else ""
    return document(
        f"Routing · {infra}",
        f"<header><h1>Routing of {escape(infra)}</h1>"
        f'<form method="get"><input type="search" name="search" value="{escape(search)}"'
        ' placeholder="host, router, service" aria-label="Search"><button>Search</button></form></header>'
        f"{note}{_cards(overview)}{_problems(overview['problems'])}"
        f"<h2>Routers</h2>{_table(('Router', 'Status', 'Rule', 'Service', 'Entry points'), map(_router, routers))}"
        f"<h2>Services</h2>{_table(('Service', 'Status', 'Servers', 'Used by'), map(_service, services))}"
        f"<h2>Certificates</h2>{_table(('Names', 'Status', 'Issuer', 'Until'), map(_certificate, certificates))}",
    )


def _cards(overview: Shape) -> str:
    counted = (
        ("Routers", overview["http"]["routers"]),
        ("Services", overview["http"]["services"]),
        ("Certificates", overview["certificates"]),
    )
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card"><b>{count["total"]}</b>{escape(name)}<br><span class="warning">'
            f"{count['warnings']} warnings"
            f'</span>, <span class="disabled">{count["errors"]} errors</span></div>'
            for name, count in counted
        )
        + "</div>"
    )


def _problems(problems: Sequence[Shape]) -> str:
    if not problems:
        return ""
    items = "".join(
        f'<li class="{"disabled" if one["severity"] == "error" else "warning"}">'
        f"{escape(one['service'])}: {escape(one['text'])}</li>"
        for one in problems
    )
    return f"<h2>Tags</h2><ul>{items}</ul>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already."""
    body = "".join(
        "<tr>"
        + "".join(f'<td data-label="{head}">{cell}</td>' for head, cell in zip(heads, row, strict=True))
        + "</tr>"
        for row in rows
    )
    if not body:
        return "<p>None.</p>"
    return (
        f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>{body}</tbody></table>"
    )


def _state(state: str) -> str:
    return f'<span class="{escape(state)}">{escape(state)}</span>'


def _texts(shape: Shape) -> str:
    if not shape.get("error"):
        return ""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in shape["error"]) + "</ul>"


def _router(one: Shape) -> list[str]:
    last = one.get("lastGood")
    still = f"<br>in service: <code>{escape(last['rule'])}</code>" if last else ""
    return [
        f"{escape(one['name'])}{_texts(one)}",
        _state(one["status"]),
        f"<code>{escape(one['rule'])}</code>{still}",
        escape(one["service"]),
        escape(", ".join(one["entryPoints"])),
    ]


def _service(one: Shape) -> list[str]:
    servers = "<br>".join(f"{escape(url)} {_state(state)}" for url, state in one["serverStatus"].items())
    return [
        f"{escape(one['name'])}{_texts(one)}",
        _state(one["status"]),
        servers or "none",
        "<br>".join(map(escape, one["usedBy"])),
    ]


def _certificate(one: Shape) -> list[str]:
    names = one["sans"]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return [escape(shown), _state(one["status"]), escape(one["issuerCN"]), escape(one["notAfter"])]
