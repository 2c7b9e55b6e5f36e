"""Debian's `skopeo`, a client that shares no code with Docker's: log in, copy both ways, look, list, delete."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

import msgspec
import pytest

from kokiris.registry.scopes import parse_grant
from tests.registry.bed import Bed, Done

pytestmark = pytest.mark.engine


class Skopeo:
    """The command line with a login and an authority of its own: TLS is verified, unlike by dockerd on loopback."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._trusted = bed.folder / "trusted"
        self._trusted.mkdir()
        shutil.copy(bed.folder / "tls" / "ca.pem", self._trusted / "ca.crt")

    async def begin(self, verb: str, *arguments: str, user: str = "", stdin: bytes | None = None) -> Process:
        """Not waited for."""
        options = {"copy": ("--src-cert-dir", "--dest-cert-dir")}.get(verb, ("--cert-dir",))
        trust = [word for option in options for word in (option, str(self._trusted))]
        process = await asyncio.create_subprocess_exec(
            "skopeo", "--insecure-policy", verb, *trust, *arguments, stdin=PIPE, stdout=PIPE, stderr=STDOUT,
            env={**os.environ, "REGISTRY_AUTH_FILE": str(self._bed.folder / f"auth-{user}.json")},
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(stdin or b"")
        process.stdin.close()
        return process

    async def __call__(self, verb: str, *arguments: str, user: str = "", stdin: bytes | None = None) -> Done:
        process = await self.begin(verb, *arguments, user=user, stdin=stdin)
        assert process.stdout is not None
        text = await asyncio.wait_for(process.stdout.read(), 180)
        return Done(await process.wait(), text.decode())

    async def log_in(self, user: str, *grants: str) -> None:
        """A new account."""
        secret = await self._bed.writes.add(user, "robot", [parse_grant(one) for one in grants])
        done = await self("login", "-u", user, "--password-stdin", self._bed.address, user=user, stdin=secret.encode())
        assert done.code == 0, done.text

    async def archive(self, name: str, size_bytes: int = 0) -> str:
        """An image as a file."""
        path = self._bed.folder / f"{name}.tar"
        reference = self._bed.image(f"saved/{name}:1", size_bytes=size_bytes)
        saved = await self._bed.docker("save", "-o", str(path), reference)
        assert saved.code == 0, saved.text
        return f"docker-archive:{path}"

    def there(self, name: str) -> str:
        """In the registry."""
        return f"docker://{self._bed.address}/{name}"


@pytest.fixture
async def skopeo(bed: Bed) -> Skopeo:
    """Nobody is logged in."""
    return Skopeo(bed)


async def test_copied_there_and_back_listed_and_deleted(bed: Bed, skopeo: Skopeo) -> None:
    await skopeo.log_in("ci", "shop/*:pull,push,delete")
    for tag in ("1", "2"):
        done = await skopeo("copy", await skopeo.archive(f"web{tag}"), skopeo.there(f"shop/web:{tag}"), user="ci")
        assert done.code == 0, done.text
    inspected = msgspec.json.decode((await skopeo("inspect", skopeo.there("shop/web:1"), user="ci")).text)
    assert sorted(inspected["RepoTags"]) == ["1", "2"]
    assert inspected["Digest"] == await bed.digest("shop/web", "1")
    target = bed.folder / "back"
    done = await skopeo("copy", skopeo.there("shop/web:2"), f"dir:{target}", user="ci")
    assert done.code == 0, done.text
    assert (target / "manifest.json").exists()
    deleted = await skopeo("delete", skopeo.there("shop/web:1"), user="ci")
    assert deleted.code == 0, deleted.text
    listed = await skopeo("list-tags", skopeo.there("shop/web"), user="ci")
    assert msgspec.json.decode(listed.text)["Tags"] == ["2"]


async def test_from_registry_to_registry_and_as_oci(bed: Bed, skopeo: Skopeo) -> None:
    await skopeo.log_in("ci", "**:pull,push")
    archive = await skopeo.archive("web")
    assert (await skopeo("copy", "--format", "oci", archive, skopeo.there("a/web:1"), user="ci")).code == 0
    copied = await skopeo("copy", "--all", skopeo.there("a/web:1"), skopeo.there("b/web:1"), user="ci")
    assert copied.code == 0, copied.text
    assert await bed.digest("a/web", "1") == await bed.digest("b/web", "1") is not None
    assert (await bed.docker("pull", f"{bed.address}/b/web:1")).code != 0, "docker is not logged in"


async def test_what_is_not_allowed_is_refused(bed: Bed, skopeo: Skopeo) -> None:
    await skopeo.log_in("ci", "shop/*:pull,push")
    archive = await skopeo.archive("web")
    assert (await skopeo("copy", archive, skopeo.there("shop/web:1"), user="ci")).code == 0
    refused = [
        await skopeo("copy", archive, skopeo.there("other/web:1"), user="ci"),
        await skopeo("delete", skopeo.there("shop/web:1"), user="ci"),
        await skopeo("inspect", skopeo.there("shop/web:1"), user="nobody"),
        await skopeo("login", "-u", "ci", "--password-stdin", bed.address, user="ci", stdin=b"wrong"),
    ]
    for one in refused:
        assert one.code != 0
        assert re.search("authentication required|denied|unauthorized|invalid username/password", one.text), one.text


async def test_over_quota_copies_are_refused_in_words_and_deleting_goes_on(bed: Bed, skopeo: Skopeo) -> None:
    await skopeo.log_in("ci", "**:pull,push,delete")
    archive = await skopeo.archive("web")
    assert (await skopeo("copy", archive, skopeo.there("a/web:1"), user="ci")).code == 0
    assert (await bed.api("PUT", "quota", {"QuotaBytes": 1000}))[0] == 200
    refused = await skopeo("copy", archive, skopeo.there("a/web:2"), user="ci")
    assert refused.code != 0
    assert "quota is 1.0 kB" in refused.text, refused.text
    assert "kokiris registry quota set" in refused.text, refused.text
    deleted = await skopeo("delete", skopeo.there("a/web:1"), user="ci")
    assert deleted.code == 0, deleted.text


async def test_several_at_once(skopeo: Skopeo) -> None:
    await skopeo.log_in("ci", "**:pull,push")
    archives = [await skopeo.archive(f"app{number}", size_bytes=200_000) for number in range(4)]
    names = [skopeo.there(f"many/app{number}:1") for number in range(4)]
    copied = await asyncio.gather(
        *(skopeo("copy", archive, name, user="ci") for archive, name in zip(archives, names, strict=True))
    )
    assert [one.code for one in copied] == [0] * 4, [one.text for one in copied]
    inspected = await asyncio.gather(*(skopeo("inspect", name, user="ci") for name in names))
    assert [one.code for one in inspected] == [0] * 4


async def _cut(bed: Bed, skopeo: Skopeo, archive: str, name: str) -> bool:
    """Kills a copy while it uploads; False when it was over before that."""
    process = await skopeo.begin("copy", archive, skopeo.there(name), user="ci")
    async with asyncio.timeout(120):
        while not _uploading(bed.storage):
            if process.returncode is not None:
                return False
            await asyncio.sleep(0.01)
    process.kill()
    return await process.wait() != 0


async def test_cut_half_way_nothing_is_visible(bed: Bed, skopeo: Skopeo) -> None:
    await skopeo.log_in("ci", "**:pull,push")
    for size_bytes in (16_000_000, 64_000_000, 256_000_000):
        archive = await skopeo.archive(f"large{size_bytes}", size_bytes=size_bytes)
        if await _cut(bed, skopeo, archive, "cut/web:1"):
            break
        await bed.service.delete_tag("cut/web", "1", force=True)
    else:
        pytest.fail("each copy was over before it could be cut")
    assert (await bed.api("GET", "repositories"))[1] == []
    assert (await skopeo("inspect", skopeo.there("cut/web:1"), user="ci")).code != 0
    again = await skopeo("copy", archive, skopeo.there("cut/web:1"), user="ci")
    assert again.code == 0, again.text
    _, freed = await bed.api("POST", "gc", {"GraceSeconds": 0})
    assert freed["uploads"] >= 1
    assert freed["size_bytes"] > 0
    assert not _uploading(bed.storage)


def _uploading(storage: Path) -> bool:
    """Seen while the registry works there."""
    for folder, _, names in os.walk(storage):
        if "data" in names and Path(folder).parent.name == "_uploads":
            with contextlib.suppress(FileNotFoundError):
                if Path(folder, "data").stat().st_size:
                    return True
    return False
