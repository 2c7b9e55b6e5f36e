"""The plain page and its sign-in, over real HTTP."""

from __future__ import annotations

import requests

from kokiris.http.pages import Markup, table
from tests.discovery.conftest import SECRET, Api


def test_nothing_is_shown_without_signing_in(api: Api) -> None:
    first = requests.get(f"{api.url}/", timeout=60)
    assert first.url.endswith("/ui/sign-in")
    assert "password" in first.text
    assert "Instances" not in first.text


def test_sign_in_shows_the_page_and_sign_out_ends_it(api: Api) -> None:
    refused = requests.post(f"{api.url}/ui/sign-in", data={"token": "wrong"}, timeout=60)
    assert refused.status_code == 403
    assert "wrong" not in refused.text
    answer = requests.post(f"{api.url}/ui/sign-in", data={"token": SECRET}, timeout=60, allow_redirects=False)
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=Lax"))
    headers = {"Cookie": cookie.split(";")[0]}  # a browser sends it over TLS only
    page = requests.get(f"{api.url}/ui/", headers=headers, timeout=60)
    assert page.status_code == 200
    assert "Instances" in page.text
    assert SECRET not in page.text
    requests.post(f"{api.url}/ui/sign-out", headers=headers, timeout=60)
    assert requests.get(f"{api.url}/ui/", headers=headers, timeout=60).url.endswith("/ui/sign-in")


def test_cells_cannot_break_out() -> None:
    assert "<script>" not in table(("a",), [("<script>alert(1)</script>",)])
    assert table(("a",), [(Markup("<b>x</b>"),)]).count("<b>") == 1
