"""What is shown, kept and deleted, and which images jobs use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.cli.registry import parse_size, registry_address
from kokiris.kernel.errors import BadInput
from kokiris.orchestrator.model.job import Job, TaskGroup
from kokiris.orchestrator.model.task import Task
from kokiris.registry.images import ImageName, parse_image, users_of_images
from kokiris.registry.listing import list_repositories, used_by
from kokiris.registry.model import RetentionRule
from kokiris.registry.retention import tags_to_delete
from kokiris.registry.storage import Blob, Manifest, Repository, Storage

SERVER = "registry.demo.example.org"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (f"{SERVER}/shop/web:1", ImageName("shop/web", "1")),
        (f"{SERVER}/shop/web", ImageName("shop/web", "latest")),
        (f"{SERVER}/shop/web@sha256:ab", ImageName("shop/web", "", "sha256:ab")),
        (f"{SERVER}/shop/web:1@sha256:ab", ImageName("shop/web", "1", "sha256:ab")),
        ("shop/web:1", None),
        (f"{SERVER}:5000/shop/web:1", None),
        (f"{SERVER}/", None),
    ],
)
def test_images(reference: str, expected: ImageName | None) -> None:
    assert parse_image(reference, SERVER) == expected


def job_of(*images: object, name: str = "shop") -> Job:
    tasks = [Task(Name=str(number), Config={"image": image}) for number, image in enumerate(images)]
    return Job(ID=name, Namespace="default", TaskGroups=[TaskGroup(Name="g", Tasks=tasks)])


def test_users_of_images() -> None:
    jobs = [job_of(f"{SERVER}/a/b:1", "nginx:1", 7), job_of(f"{SERVER}/a/b:1", name="other"), job_of(f"{SERVER}/a/b:1")]
    assert users_of_images(jobs, SERVER) == {ImageName("a/b", "1"): ["default/other", "default/shop"]}


def test_listing() -> None:
    storage = Storage(
        {
            "a/b": Repository("a/b", tags={"v1": "m"}, tagged_at={"v1": 60.0}, revisions={"m": 1.0}, layers={"l": 1.0}),
            "cut": Repository("cut", layers={"l": 1.0}, uploads={"u": 1.0}),
        },
        {"m": Blob(10, 1.0), "l": Blob(1000, 1.0)},
        {"m": Manifest(blobs=frozenset({"l"}))},
    )
    (found,) = list_repositories(storage, {ImageName("a/b", "v1"): ["default/shop"]})
    assert (found.Name, found.SizeBytes) == ("a/b", 1010)
    (tag,) = found.Tags
    assert (tag.Tag, tag.Digest, tag.SizeBytes, tag.UsedBy) == ("v1", "m", 1010, ["default/shop"])
    assert tag.PushedAt == "1970-01-01T00:01:00Z"


@given(
    st.dictionaries(st.sampled_from([f"v{n}" for n in range(9)]), st.integers(0, 5)),
    st.integers(1, 5),
    st.sets(st.sampled_from(["v0", "v3", "v8"])),
)
def test_retention_keeps_the_newest_and_the_used(times: dict[str, int], keep: int, used: set[str]) -> None:
    repository = Repository(
        "a/b", tags={tag: f"d{tag}" for tag in times}, tagged_at={tag: float(at) for tag, at in times.items()}
    )
    rules = [RetentionRule(Repository="a/*", KeepLast=keep), RetentionRule(Repository="**", KeepLast=99)]
    deleted = tags_to_delete(repository, rules, used, set())
    kept = times.keys() - deleted
    assert not used & set(deleted)
    assert len(kept) >= min(keep, len(times))
    assert len(kept - used) <= keep
    assert all(times[one] <= times[other] for one in deleted for other in kept - used)
    assert tags_to_delete(repository, [], used, set()) == []


def test_a_tag_of_a_used_digest_is_kept() -> None:
    repository = Repository("a/b", tags={"v1": "x", "v2": "y", "v3": "z"}, tagged_at={"v1": 1.0, "v2": 2.0, "v3": 3.0})
    tags, digests = used_by(repository, {ImageName("a/b", "", "x"): ["default/shop"]})
    rules = [RetentionRule(Repository="**", KeepLast=1)]
    assert tags_to_delete(repository, rules, tags, digests) == ["v2"]


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("20GB", 20 * 10**9), ("1.5 MiB", 3 * 2**19), ("7", 7)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("wrong", ["", "GB", "-1", "1 parsec", "nan", "1e99TB"])
def test_wrong_sizes(wrong: str) -> None:
    with pytest.raises(BadInput):
        parse_size(wrong)


def test_the_registrys_address_follows_from_nomads() -> None:
    assert registry_address("https://nomad.rec1.demo.x.org:8443") == "https://registry.demo.x.org:8443"
    with pytest.raises(BadInput):
        registry_address("http://127.0.0.1:4646")
