"""The plain page: signing in, what it shows, what it never shows."""

from __future__ import annotations

import aiohttp


async def sign_in(session: aiohttp.ClientSession, base: str, token: str) -> aiohttp.ClientResponse:
    return await session.post(f"{base}/ui/sign-in", data={"token": token}, allow_redirects=False)


async def test_the_root_leads_to_the_page(api):
    async with api.session.get(api.base + "/", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (307, "/ui/")


async def test_without_a_token_only_the_form_is_shown(api, recorder, make_job):
    recorder.put_job(make_job("hidden-job"))
    for headers in ({}, {"Cookie": "kokiris_session=guess"}):
        async with api.session.get(api.base + "/ui/", headers=headers) as answer:
            text = await answer.text()
            assert "Sign in" in text
            assert "hidden-job" not in text
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_signing_in_shows_jobs_and_no_secret(api, recorder, make_job, make_node, token):
    job = make_job("<b>web</b>")
    recorder.put_job(job)
    recorder.place(job, "site", 1, make_node())
    answer = await sign_in(api.session, api.base, token)
    assert (answer.status, answer.headers["Location"]) == (303, "/ui/")
    cookie = answer.headers["Set-Cookie"]
    assert token not in cookie
    for word in ("HttpOnly", "Secure", "SameSite=Lax"):
        assert word in cookie
    value = cookie.split(";")[0]
    async with api.session.get(api.base + "/ui/", headers={"Cookie": value}) as page:
        text = await page.text()
        assert "&lt;b&gt;web&lt;/b&gt;" in text
        assert "<b>web" not in text
        assert token not in text
        assert "pending" in text
    # the page's session opens no API
    status, _, _ = await api.get("/v1/jobs", headers={"X-Nomad-Token": "", "Cookie": value})
    assert status == 403
    async with api.session.post(api.base + "/ui/sign-out", headers={"Cookie": value}, allow_redirects=False) as out:
        assert out.status == 303
    async with api.session.get(api.base + "/ui/", headers={"Cookie": value}) as page:
        assert "Sign in" in await page.text()


async def test_a_wrong_token_is_refused_and_not_repeated(api):
    answer = await sign_in(api.session, api.base, "some-guess")
    assert answer.status == 403
    text = await answer.text()
    assert "opens nothing" in text
    assert "some-guess" not in text
    assert "Set-Cookie" not in answer.headers


async def test_addresses_of_nomads_own_pages_lead_to_this_one(api, token):
    cookie = (await sign_in(api.session, api.base, token)).headers["Set-Cookie"].split(";")[0]
    for path in ("/ui/jobs/web@default", "/ui/allocations/x", "/ui/<b>"):
        async with api.session.get(api.base + path, headers={"Cookie": cookie}, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/ui/")
