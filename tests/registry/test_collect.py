"""Garbage collection beside a serving docker-registry: the traps of upstream's own collector do not catch us."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from typing import Any

import aiohttp
import msgspec
import pytest

from kokiris.registry.collect import CLOCK_MARGIN_S, Collected, Collector, delete_tag
from kokiris.registry.storage import blob_path, read_storage
from tests.registry.bed import Bed

pytestmark = pytest.mark.engine

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"


class Pusher:
    """The registry's own protocol, step by step, so that things can happen between the steps."""

    def __init__(self, bed: Bed, repository: str) -> None:
        self._bed, self._repository = bed, repository

    async def send(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, dict[str, str]]:
        """Status and headers."""
        url = path if path.startswith("http") else f"https://{self._bed.address}{path}"
        headers = {"Authorization": f"Bearer {await self._bed.bearer(self._repository)}"}
        headers["Content-Type"] = kind or "application/octet-stream"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=body, headers=headers, ssl=False) as answer,
        ):
            return answer.status, dict(answer.headers)

    async def blob(self, content: bytes) -> dict[str, Any]:
        """As clients do: asked for first, uploaded only when it is not there. Its descriptor."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if (await self.send("HEAD", f"/v2/{self._repository}/blobs/{digest}"))[0] != 200:
            status, headers = await self.send("POST", f"/v2/{self._repository}/blobs/uploads/")
            assert status == 202
            where = headers["Location"]
            joint = "&" if "?" in where else "?"
            assert (await self.send("PUT", f"{where}{joint}digest={digest}", content))[0] == 201
        return {"mediaType": "application/octet-stream", "digest": digest, "size": len(content)}

    async def manifest(self, layers: list[dict[str, Any]], config: dict[str, Any], tag: str = "") -> dict[str, Any]:
        """Its descriptor. Without a tag it is put by digest."""
        return await self.put({"config": config, "layers": layers}, MANIFEST, tag)

    async def put(self, document: dict[str, Any], kind: str, tag: str = "") -> dict[str, Any]:
        """A manifest of any kind."""
        raw = msgspec.json.encode({"schemaVersion": 2, "mediaType": kind, **document})
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        status, _ = await self.send("PUT", f"/v2/{self._repository}/manifests/{tag or digest}", raw, kind)
        assert status == 201, status
        return {"mediaType": kind, "digest": digest, "size": len(raw)}

    async def image(self, seed: str, tag: str = "") -> dict[str, Any]:
        """A small image of one layer."""
        layer = await self.blob(f"layer {seed}".encode() * 100)
        return await self.manifest([layer], await self.blob(f"config {seed}".encode()), tag)


async def whole(bed: Bed, repository: str, digest: str) -> bool:
    """Whether everything that a manifest needs can really be fetched."""
    status, _, raw = await bed.get(f"/v2/{repository}/manifests/{digest}", repository)
    if status != 200:
        return False
    document = msgspec.json.decode(raw)
    for child in document.get("manifests", ()):
        if not await whole(bed, repository, child["digest"]):
            return False
    for blob in [*document.get("layers", ()), *([document["config"]] if "config" in document else ())]:
        status, _, content = await bed.get(f"/v2/{repository}/blobs/{blob['digest']}", repository)
        if status != 200 or f"sha256:{hashlib.sha256(content).hexdigest()}" != blob["digest"]:
            return False
    return True


async def collect(bed: Bed, **body: Any) -> Any:
    """By the API, without grace."""
    await asyncio.sleep(2 * CLOCK_MARGIN_S)  # what was written just now is taken for written meanwhile
    status, answer = await bed.api("POST", "gc", {"GraceSeconds": 0, **body})
    assert status == 200, answer
    return answer


async def test_an_index_keeps_its_children(bed: Bed) -> None:
    push = Pusher(bed, "multi/arch")
    children = [await push.image(seed) for seed in ("amd64", "arm64")]
    index = await push.put({"manifests": children}, INDEX, "latest")
    lost = await push.image("lost")
    found = await collect(bed)
    assert found["manifests"] == 1
    assert found["blobs"] == 3
    assert await whole(bed, "multi/arch", index["digest"])
    assert not await whole(bed, "multi/arch", lost["digest"])


async def test_after_deletion_and_collection_the_same_push_uploads_again(bed: Bed) -> None:
    """With a cache of blob descriptors the second push would skip its layers and every pull would break."""
    push = Pusher(bed, "a/b")
    image = await push.image("one", "v1")
    assert (await bed.api("DELETE", "tag?repository=a/b&tag=v1"))[0] == 200
    assert await bed.digest("a/b", "v1") is None
    assert (await collect(bed))["blobs"] == 3
    assert not blob_path(bed.storage, image["digest"]).exists()
    again = await push.image("one", "v1")
    assert again == image
    assert await whole(bed, "a/b", "v1")


async def test_layers_whose_manifest_is_still_to_come_stay(bed: Bed) -> None:
    push = Pusher(bed, "a/b")
    layer, config = await push.blob(b"layer" * 100), await push.blob(b"config")
    status, found = await bed.api("POST", "gc", {})
    assert status == 200
    assert found["blobs"] == 0, "written within the grace"
    await push.manifest([layer], config, "v1")
    assert await whole(bed, "a/b", "v1")


async def test_a_push_amid_collection_is_whole_or_refused(bed: Bed) -> None:
    """Old layers without a manifest are found by a new push, and go at the same time: no push may end broken."""
    push = Pusher(bed, "a/b")
    for round_number in range(6):
        layers = [await push.blob(os.urandom(2000)) for _ in range(3)]
        config = await push.blob(f"config {round_number}".encode())
        running = asyncio.create_task(collect(bed))
        await asyncio.sleep(0.05 * round_number)
        tag = f"v{round_number}"
        try:
            await push.manifest(layers, config, tag)
        except AssertionError:
            await running
            assert await bed.digest("a/b", tag) is None, "refused, and nothing is there"
            continue
        await running
        assert await whole(bed, "a/b", tag)


async def test_pushes_pulls_and_collections_at_once(bed: Bed) -> None:
    await bed.login_user("alice", "**:pull,push")
    images = [bed.image(f"busy/app{number}:1", size_bytes=300_000) for number in range(4)]

    async def collecting() -> None:
        for _ in range(6):
            await collect(bed, GraceSeconds=2)

    async def push(image: str) -> str:
        """On a busy machine a push may outlast the grace: then it is refused, and whole when it is sent again."""
        for _ in range(10):
            done = await bed.docker("push", image, config="alice")
            if done.code == 0:
                return ""
        return str(done.text)

    endless = asyncio.create_task(collecting())
    refused = await asyncio.gather(*(push(image) for image in images))
    await endless
    assert refused == [""] * 4
    for number in range(4):
        assert await whole(bed, f"busy/app{number}", "1")


async def test_blobs_that_a_cut_run_set_aside_come_back_or_go(bed: Bed) -> None:
    push = Pusher(bed, "a/b")
    image = await push.image("one", "v1")
    doomed = await push.blob(b"nobody needs this")
    collector = Collector(bed.storage, settle_s=0)
    (bed.storage / "docker/registry/v2/repositories/a/b/_layers/sha256" / doomed["digest"][7:] / "link").unlink()
    for digest in (image["digest"], doomed["digest"]):
        collector._set_aside(digest)
    assert not await whole(bed, "a/b", "v1")
    await collector.run(dict)
    assert await whole(bed, "a/b", "v1")
    assert not blob_path(bed.storage, doomed["digest"]).exists()
    assert not list((bed.storage / "set-aside").iterdir())


async def test_a_dry_run_shows_and_keeps(bed: Bed) -> None:
    await Pusher(bed, "a/b").image("one")
    before = read_storage(bed.storage)
    shown = await collect(bed, DryRun=True)
    assert shown["dry_run"]
    assert read_storage(bed.storage).blobs == before.blobs
    freed = await collect(bed)
    assert (freed["blobs"], freed["size_bytes"]) == (shown["blobs"], shown["size_bytes"])
    assert freed["repositories"] == 1
    assert read_storage(bed.storage).repositories == {}


async def test_an_empty_repository_keeps_those_within_it(bed: Bed) -> None:
    await Pusher(bed, "team").image("outer")
    await Pusher(bed, "team/app").image("inner", "v1")
    await collect(bed)
    assert list(read_storage(bed.storage).repositories) == ["team/app"]
    assert await whole(bed, "team/app", "v1")


async def test_a_cut_push_leaves_nothing_visible(bed: Bed) -> None:
    push = Pusher(bed, "cut/short")
    await push.blob(b"a layer that arrived")
    status, headers = await push.send("POST", "/v2/cut/short/blobs/uploads/")
    assert status == 202
    assert (await push.send("PATCH", headers["Location"], b"half a lay"))[0] == 202
    bed.stop_registry(kill=True)
    await bed.start_registry()
    assert (await bed.api("GET", "repositories"))[1] == []
    status, _, raw = await bed.get("/v2/cut/short/tags/list", "cut/short")
    assert not (status == 200 and msgspec.json.decode(raw)["tags"])
    found = await collect(bed)
    assert (found["uploads"], found["repositories"]) == (1, 1)
    assert os.listdir(bed.storage / "docker/registry/v2/repositories") == []  # noqa: PTH208 - at once


async def test_an_upload_goes_on_after_a_restart_of_the_registry(bed: Bed) -> None:
    push = Pusher(bed, "a/b")
    _, headers = await push.send("POST", "/v2/a/b/blobs/uploads/")
    _, headers = await push.send("PATCH", headers["Location"], b"first half, ")
    bed.stop_registry(kill=True)
    await bed.start_registry()
    _, headers = await push.send("PATCH", headers["Location"], b"second half")
    digest = f"sha256:{hashlib.sha256(b'first half, second half').hexdigest()}"
    where = headers["Location"]
    assert (await push.send("PUT", f"{where}&digest={digest}"))[0] == 201


async def test_deleting_a_tag_leaves_the_others(bed: Bed) -> None:
    push = Pusher(bed, "a/b")
    await push.image("same", "v1")
    await push.image("same", "v2")
    assert delete_tag(bed.storage, "a/b", "v1")
    assert not delete_tag(bed.storage, "a/b", "v1")
    await collect(bed)
    assert await bed.digest("a/b", "v1") is None
    assert await whole(bed, "a/b", "v2")


async def test_the_same_manifest_pushed_again_at_the_last_moment_stays(bed: Bed) -> None:
    """Between reading and removing: its links are young again."""
    push = Pusher(bed, "a/b")
    await push.image("one")
    collector = Collector(bed.storage, settle_s=0)
    started_s = time.time()
    garbage = await collector.plan({}, 0)
    assert len(garbage.manifests) == 1
    await push.image("one", "v1")
    collector._remove_links(garbage, started_s, Collected())
    collector._restore_links(garbage)
    assert await whole(bed, "a/b", "v1")


async def test_an_index_over_manifests_that_are_just_going_gets_them_back(bed: Bed) -> None:
    """The registry looked for the children before their links went, and wrote the index after."""
    push = Pusher(bed, "a/b")
    child = await push.image("one")
    collector = Collector(bed.storage, settle_s=0)
    garbage = await collector.plan({}, 0)
    await push.put({"manifests": [child]}, INDEX, "v1")
    collector._remove_links(garbage, time.time() + 60, Collected())
    assert not await whole(bed, "a/b", "v1")
    collector._restore_links(garbage)
    assert await whole(bed, "a/b", "v1")
    await collector.run(dict, 0)
    assert await whole(bed, "a/b", "v1")
