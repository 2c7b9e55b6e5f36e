"""`docker login`, `push` and `pull` against Debian's docker-registry with our tokens, over TLS."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess

import msgspec
import pytest

from kokiris.registry import service, tokenserver
from kokiris.registry.scopes import parse_grant
from tests.registry.bed import Bed

pytestmark = pytest.mark.engine


async def test_login_push_pull(bed: Bed) -> None:
    secret = await bed.login_user("alice", "shop/**:pull,push")
    image = bed.image("shop/web:1")
    pushed = await bed.docker("push", image, config="alice")
    assert pushed.code == 0, pushed.text
    await bed.forget(image)
    pulled = await bed.docker("pull", image, config="alice")
    assert pulled.code == 0, pulled.text
    kept = (bed.folder / "alice" / "config.json").read_text()
    login = msgspec.json.decode(kept)["auths"][bed.address]
    assert secret not in kept
    assert secret.encode() not in base64.b64decode(login["auth"]), "docker keeps the refresh token, not the secret"
    assert login["identitytoken"]


async def test_the_infras_token_opens_everything_and_is_not_kept(bed: Bed) -> None:
    assert (await bed.login("token", bed.management.secret)).code == 0
    image = bed.image("any/thing:1")
    assert (await bed.docker("push", image)).code == 0
    assert (await bed.docker("pull", image)).code == 0
    assert bed.management.secret not in (bed.folder / "docker" / "config.json").read_text()


async def test_wrong_password(bed: Bed) -> None:
    await bed.writes.add("bob", "user", [])
    for user, secret in (("bob", "nonsense"), ("nobody", "nonsense"), ("token", "nonsense"), ("node", "x")):
        refused = await bed.login(user, secret)
        assert refused.code != 0
        assert "unauthorized" in refused.text, refused.text


async def test_too_little_scope_is_denied(bed: Bed) -> None:
    await bed.login_user("carol", "shop/*:pull")
    await bed.login_user("dave", "shop/*:pull,push")
    image = bed.image("shop/web:1")
    refused = await bed.docker("push", image, config="carol")
    assert refused.code != 0
    assert "denied" in refused.text
    assert (await bed.docker("push", image, config="dave")).code == 0
    assert (await bed.docker("pull", image, config="carol")).code == 0
    other = await bed.docker("pull", f"{bed.address}/private/thing:1", config="carol")
    assert other.code != 0
    assert "denied" in other.text


async def test_anonymous_pulls_only_where_it_is_configured(bed: Bed) -> None:
    await bed.login_user("erin", "**:pull,push")
    for name in ("open/web:1", "shut/web:1"):
        assert (await bed.docker("push", bed.image(name), config="erin")).code == 0
    settings = msgspec.structs.replace(bed.accounts.settings, AnonymousPull=["open/*"])
    await bed.writes.set_settings(settings)
    assert (await bed.docker("pull", f"{bed.address}/open/web:1", config="nobody")).code == 0
    assert (await bed.docker("pull", f"{bed.address}/shut/web:1", config="nobody")).code != 0
    assert (await bed.docker("push", f"{bed.address}/open/web:1", config="nobody")).code != 0


async def test_a_rotated_secret_ends_logins(bed: Bed) -> None:
    await bed.login_user("frank", "**:pull,push")
    image = bed.image("a/b:1")
    assert (await bed.docker("push", image, config="frank")).code == 0
    secret = await bed.writes.rotate("frank")
    refused = await bed.docker("pull", image, config="frank")
    assert refused.code != 0
    assert (await bed.login("frank", secret, "frank")).code == 0
    assert (await bed.docker("pull", image, config="frank")).code == 0
    await bed.writes.remove("frank")
    assert (await bed.docker("pull", image, config="frank")).code != 0


async def test_several_push_and_pull_at_once(bed: Bed) -> None:
    await bed.login_user("grace", "**:pull,push")
    images = [bed.image(f"many/app{number}:1", size_bytes=200_000) for number in range(6)]
    pushed = await asyncio.gather(*(bed.docker("push", image, config="grace") for image in images))
    assert [one.code for one in pushed] == [0] * 6, [one.text for one in pushed]
    for image in images:
        await bed.forget(image)
    pulled = await asyncio.gather(*(bed.docker("pull", image, config="grace") for image in images))
    assert [one.code for one in pulled] == [0] * 6, [one.text for one in pulled]


async def test_over_quota_the_reason_is_shown(bed: Bed) -> None:
    await bed.login_user("heidi", "**:pull,push")
    image = bed.image("a/b:1")
    assert (await bed.docker("push", image, config="heidi")).code == 0
    assert (await bed.api("PUT", "quota", {"QuotaBytes": 1000}))[0] == 200
    refused = await bed.docker("push", bed.image("a/c:1"), config="heidi")
    assert refused.code != 0
    assert 'the registry of client "demo" is full' in refused.text
    assert "its quota is 1.0 kB" in refused.text
    assert "kokiris registry gc" in refused.text, "what to do"
    assert (await bed.docker("pull", image, config="heidi")).code == 0
    assert (await bed.api("PUT", "quota", {"QuotaBytes": 0}))[0] == 200
    assert (await bed.docker("push", f"{bed.address}/a/c:1", config="heidi")).code == 0


async def test_a_push_under_way_meets_the_quota(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients come back for a token while they push; what they have sent by then stays without a name."""
    monkeypatch.setattr(tokenserver, "LIMITED_RENEW_S", -60)  # the command line may be half a minute ahead
    monkeypatch.setattr(service, "MEASURE_EVERY_S", 0.0)
    await bed.login_user("mona", "**:pull,push")
    assert (await bed.docker("push", bed.image("a/small:1"), config="mona")).code == 0
    quota_bytes = await bed.service.size_bytes() + 3_000_000
    assert (await bed.api("PUT", "quota", {"QuotaBytes": quota_bytes}))[0] == 200
    refused = await bed.docker("push", bed.image("a/large:1", size_bytes=5_000_000), config="mona")
    assert refused.code != 0
    assert 'the registry of client "demo" is full' in refused.text, refused.text
    assert [one["Name"] for one in (await bed.api("GET", "repositories"))[1]] == ["a/small"]
    assert (await bed.api("POST", "gc", {"GraceSeconds": 0}))[0] == 200
    assert (await bed.docker("push", bed.image("a/other:1"), config="mona")).code == 0


async def test_a_node_pulls_with_a_token_of_its_own(bed: Bed) -> None:
    await bed.login_user("ivan", "**:pull,push")
    image = bed.image("a/b:1")
    assert (await bed.docker("push", image, config="ivan")).code == 0
    status, _, _ = await bed.get("/v2/a/b/manifests/1", "a/b")
    assert status == 200
    token = bed.service.tokens.node_token("a/b")
    assert await pulls(bed, token, "a/b") == 200
    assert await pulls(bed, token, "a/c") == 401, "for that repository only"


async def pulls(bed: Bed, token: str, repository: str) -> int:
    """The status of asking for a manifest with a token."""
    import aiohttp

    url = f"https://{bed.address}/v2/{repository}/manifests/1"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"Authorization": f"Bearer {token}"}, ssl=False) as answer,
    ):
        return answer.status


async def test_robots_expire(bed: Bed) -> None:
    secret = await bed.writes.add("ci", "robot", [parse_grant("**:pull")], expires_ns=1)
    assert (await bed.login("ci", secret)).code != 0


async def test_signing_keys_rotate_without_an_interruption(bed: Bed) -> None:
    await bed.login_user("judy", "**:pull,push")
    image = bed.image("a/b:1")
    assert (await bed.docker("push", image, config="judy")).code == 0
    old_token = bed.service.tokens.node_token("a/b")
    bed.keys.add_key()
    bed.stop_registry()
    await bed.start_registry()
    assert await pulls(bed, old_token, "a/b") == 200
    bed.keys.use_newest_key()
    new_token = bed.service.tokens.node_token("a/b")
    assert [await pulls(bed, token, "a/b") for token in (old_token, new_token)] == [200, 200]
    assert (await bed.docker("pull", image, config="judy")).code == 0
    bed.keys.drop_old_keys()
    bed.stop_registry()
    await bed.start_registry()
    assert [await pulls(bed, token, "a/b") for token in (old_token, new_token)] == [401, 200]


async def test_logins_and_images_survive_a_restart(bed: Bed) -> None:
    await bed.login_user("kim", "**:pull,push")
    image = bed.image("a/b:1")
    assert (await bed.docker("push", image, config="kim")).code == 0
    bed.stop_registry(kill=True)
    await bed.start_registry()
    await bed.forget(image)
    assert (await bed.docker("pull", image, config="kim")).code == 0


async def test_a_full_disk_refuses_pushes_and_keeps_what_is_there(bed: Bed) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    bed.stop_registry()
    subprocess.run(  # noqa: ASYNC221 - at once
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(bed.storage)], check=True
    )
    try:
        await bed.start_registry()
        await bed.login_user("leo", "**:pull,push")
        small = bed.image("a/small:1")
        assert (await bed.docker("push", small, config="leo")).code == 0
        pushing = asyncio.create_task(bed.docker("push", bed.image("a/large:1", size_bytes=12_000_000), config="leo"))
        refused = await pushing
        assert refused.code != 0
        assert await bed.digest("a/large", "1") is None
        assert [one["Name"] for one in (await bed.api("GET", "repositories"))[1]] == ["a/small"]
        await bed.forget(small)
        assert (await bed.docker("pull", small, config="leo")).code == 0
        status, _ = await bed.api("POST", "gc", {"GraceSeconds": 0})
        assert status == 200
        assert (await bed.docker("push", bed.image("a/other:1"), config="leo")).code == 0
    finally:
        bed.stop_registry()
        subprocess.run(["umount", "-l", str(bed.storage)], check=True)  # noqa: ASYNC221 - at once
