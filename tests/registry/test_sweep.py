"""Garbage: decisions over made-up and random storages."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokiris.registry.storage import Blob, Manifest, Repository, Storage, parse_manifest
from kokiris.registry.sweep import GRACE_S, find_garbage, layers_to_restore, manifests_to_restore

OLD, NOW = 0.0, 10 * GRACE_S


def storage_of(
    manifests: dict[str, Manifest], *, tags: dict[str, str], layers: tuple[str, ...] = (), written: float = OLD
) -> Storage:
    """One repository, everything written at the same time."""
    blobs = {*layers, *manifests}
    repository = Repository(
        "a", tags=tags, revisions=dict.fromkeys(manifests, written), layers=dict.fromkeys(layers, written)
    )
    return Storage({"a": repository}, {one: Blob(10, written) for one in blobs}, manifests)


def test_the_children_of_an_index_stay_with_it() -> None:
    """Upstream's own collector deletes them (distribution#3178)."""
    manifests = {
        "index": Manifest(children=frozenset({"amd64", "arm64"})),
        "amd64": Manifest(blobs=frozenset({"l1"})),
        "arm64": Manifest(blobs=frozenset({"l2"})),
        "lost": Manifest(blobs=frozenset({"l1", "l3"})),
    }
    garbage = find_garbage(storage_of(manifests, tags={"v1": "index"}, layers=("l1", "l2", "l3")), NOW)
    assert garbage.manifests == [("a", "lost")]
    assert garbage.layers == [("a", "l3")]
    assert garbage.blobs == ["l3", "lost"]
    assert garbage.size_bytes == 20
    assert garbage.repositories == []


def test_what_is_about_a_needed_manifest_stays() -> None:
    manifests = {
        "image": Manifest(blobs=frozenset({"l1"})),
        "signature": Manifest(blobs=frozenset({"s"}), subject="image"),
        "orphan": Manifest(blobs=frozenset({"o"}), subject="gone"),
    }
    garbage = find_garbage(storage_of(manifests, tags={"v1": "image"}, layers=("l1", "s", "o")), NOW)
    assert garbage.manifests == [("a", "orphan")]
    assert garbage.blobs == ["o", "orphan"]


def test_what_is_young_stays() -> None:
    storage = storage_of({}, tags={}, layers=("l1",), written=NOW - GRACE_S + 1)
    assert find_garbage(storage, NOW).blobs == []
    assert find_garbage(storage, NOW + 1).blobs == ["l1"]


def test_what_a_job_names_by_digest_stays() -> None:
    storage = storage_of({"m": Manifest(blobs=frozenset({"l"}))}, tags={}, layers=("l",))
    assert find_garbage(storage, NOW, pinned={"a": ["m"]}).blobs == []
    assert find_garbage(storage, NOW).repositories == ["a"]


def test_nothing_goes_where_a_manifest_cannot_be_read() -> None:
    storage = storage_of({"m": Manifest(readable=False), "n": Manifest()}, tags={"v": "m"}, layers=("l",))
    garbage = find_garbage(storage, NOW)
    assert (garbage.manifests, garbage.layers, garbage.blobs) == ([], [], [])


def test_a_blob_of_two_repositories_goes_with_the_last() -> None:
    storage = storage_of({"m": Manifest(blobs=frozenset({"l"}))}, tags={"v": "m"}, layers=("l",))
    storage.repositories["b"] = Repository("b", layers={"l": OLD})
    garbage = find_garbage(storage, NOW)
    assert garbage.layers == [("b", "l")]
    assert garbage.blobs == []


def test_a_link_that_a_new_manifest_needs_comes_back() -> None:
    storage = storage_of({"m": Manifest(blobs=frozenset({"l"}))}, tags={"v": "m"}, layers=())
    assert layers_to_restore(storage, [("a", "l"), ("a", "x"), ("gone", "l")], NOW) == [("a", "l")]


def test_a_manifest_that_is_tagged_again_comes_back_with_its_children() -> None:
    storage = storage_of({"index": Manifest(children=frozenset({"child"}))}, tags={"v": "index", "w": "again"})
    removed = [("a", "child"), ("a", "again"), ("a", "other"), ("a", "index"), ("gone", "child")]
    assert manifests_to_restore(storage, removed, NOW) == [("a", "child"), ("a", "again")]


digests = st.sampled_from([f"d{number}" for number in range(10)])
manifest_shapes = st.builds(
    Manifest,
    blobs=st.frozensets(digests, max_size=4),
    children=st.frozensets(digests, max_size=3),
    subject=st.sampled_from(["", "d0", "d1", "d2"]),
    readable=st.sampled_from([True, True, True, False]),
)
times = st.sampled_from([OLD, NOW])
repositories = st.builds(
    lambda tags, revisions, layers: (tags, revisions, layers),
    st.dictionaries(st.sampled_from(["v1", "v2"]), digests, max_size=2),
    st.dictionaries(digests, times, max_size=6),
    st.dictionaries(digests, times, max_size=6),
)


@settings(max_examples=400)
@given(
    st.dictionaries(digests, manifest_shapes, max_size=8),
    st.lists(repositories, max_size=3),
    st.dictionaries(digests, times, min_size=10),
)
def test_nothing_that_can_be_reached_is_ever_garbage(
    manifests: dict[str, Manifest],
    parts: list[tuple[dict[str, str], dict[str, float], dict[str, float]]],
    blobs: dict[str, float],
) -> None:
    storage = Storage(
        {
            str(number): Repository(str(number), tags=tags, revisions=revisions, layers=layers)
            for number, (tags, revisions, layers) in enumerate(parts)
        },
        {digest: Blob(1, written) for digest, written in blobs.items()},
        {one: manifest for one, manifest in manifests.items() if any(one in revisions for _, revisions, _ in parts)},
    )
    garbage = find_garbage(storage, NOW)
    for repository in storage.repositories.values():
        reachable = _reachable(repository, storage)
        kept_blobs = {blob for one in reachable if one in storage.manifests for blob in storage.manifests[one].blobs}
        doomed = {digest for name, digest in garbage.manifests if name == repository.name}
        doomed_layers = {digest for name, digest in garbage.layers if name == repository.name}
        assert not doomed & reachable
        assert not doomed_layers & kept_blobs
        assert not set(garbage.blobs) & (reachable | kept_blobs)
        assert not {one for one in doomed_layers if repository.layers[one] == NOW}
        assert not set(garbage.blobs) & (repository.layers.keys() - doomed_layers)
    assert all(blobs[one] == OLD for one in garbage.blobs)


def _reachable(repository: Repository, storage: Storage) -> set[str]:
    """By the slowest way there is: again and again until nothing is added."""
    found = {*repository.tags.values(), *(one for one, written in repository.revisions.items() if written == NOW)}
    while True:
        more = {child for one in found if one in storage.manifests for child in storage.manifests[one].children}
        more |= {
            one for one in repository.revisions if one in storage.manifests and storage.manifests[one].subject in found
        }
        if more <= found:
            return found
        found |= more


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"config": {"digest": "sha256:c", "size": 2}, "layers": [{"digest": "sha256:l", "size": 5}]},
            Manifest(blobs=frozenset({"sha256:c", "sha256:l"}), size_bytes=7),
        ),
        (
            {"manifests": [{"digest": "sha256:m"}], "mediaType": "x"},
            Manifest(children=frozenset({"sha256:m"}), media_type="x"),
        ),
        ({"manifests": []}, Manifest()),
        ({"fsLayers": [{"blobSum": "sha256:l"}]}, Manifest(blobs=frozenset({"sha256:l"}))),
        (
            {"layers": [], "config": {"digest": "sha256:c"}, "subject": {"digest": "sha256:s"}},
            Manifest(blobs=frozenset({"sha256:c"}), subject="sha256:s"),
        ),
    ],
)
def test_manifests_of_all_kinds(document: object, expected: Manifest) -> None:
    assert parse_manifest(msgspec.json.encode(document)) == expected


@given(st.one_of(st.binary(), st.recursive(st.none() | st.text() | st.integers(), st.lists).map(msgspec.json.encode)))
def test_anything_else_is_unreadable_and_no_error(raw: bytes) -> None:
    assert not parse_manifest(raw).readable


@pytest.mark.parametrize(
    "wrong", [b'{"layers": 3}', b'{"manifests": [{}]}', b'{"config": "x"}', b"{}", b'{"layers":[7]}']
)
def test_broken_manifests_are_unreadable(wrong: bytes) -> None:
    assert not parse_manifest(wrong).readable
