"""What a plan says about images that cannot be pulled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.orchestrator.model.job import Job, Task, TaskGroup
from kokiris.registry.images import DockerTask, docker_tasks, name_problem
from kokiris.worker.drivers.engine import split_reference
from tests.registry.bed import Bed

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "image",
    ["nginx", "nginx:1.27", "a/b/c:latest", "localhost/x", "h:5000/a_b/c-d.e:V1_2", f"r.example.org/a@{DIGEST}",
     f"R.Example.org:443/a/b:1@{DIGEST}", "a__b", "a---b"],
)  # fmt: skip
def test_names_of_images(image: str) -> None:
    assert name_problem(image) == ""


@pytest.mark.parametrize(
    "image",
    ["https://r.example.org/a:1", "Upper/a", "a/B:1", "a:", "a b", "a:1:2", "r.example.org/", "/a", "a//b", "a_",
     "a@sha256:short", "a:" + "x" * 129, "é", "nginx\n"],
)  # fmt: skip
def test_what_is_none(image: str) -> None:
    assert "is not the name of an image" in name_problem(image)


@given(st.from_regex(r"\A[a-z0-9]{1,9}(/[a-z0-9]{1,9}){0,2}(:[A-Za-z0-9]{1,9})?\Z"))
def test_plain_names_are_names(image: str) -> None:
    assert name_problem(image) == ""
    assert ":".join(split_reference(image)).startswith(image)


def job(image: object, driver: str = "docker", **config: object) -> Job:
    task = Task(Name="web", Driver=driver, Config={"image": image, **config})
    return Job(ID="shop", TaskGroups=[TaskGroup(Name="web", Tasks=[task])])


def test_tasks_whose_image_is_known() -> None:
    assert list(docker_tasks(job("a:1"))) == [DockerTask("web", "a:1")]
    auth = [{"username": "alice"}, {"password": "p"}]
    assert list(docker_tasks(job("a:1", auth=auth))) == [DockerTask("web", "a:1", "alice", "p")]
    assert list(docker_tasks(job("a:1", auth={"username": "alice", "password": "${P}"}))) == [DockerTask("web", "a:1")]
    for unknown in (
        job("a:${TAG}"),
        job(None),
        job("a:1", load="a.tar"),
        job("a:1", driver="raw_exec"),
        Job(ID="none"),
    ):
        assert list(docker_tasks(unknown)) == []
    assert "p4ss" not in repr(DockerTask("web", "a:1", "alice", "p4ss"))


@pytest.mark.engine
async def test_what_is_known_of_the_clients_registry(bed: Bed) -> None:
    secret = await bed.login_user("nina", "shop/*:pull,push")
    assert (await bed.docker("push", bed.image("shop/web:1"), config="nina")).code == 0
    digest = await bed.digest("shop/web", "1")
    there = f"{bed.address}/shop/web"

    def warned(image: str, **config: object) -> str:
        return "\n".join(bed.service.image_warnings(job(image, **config)))

    assert warned(f"{there}:1") == warned(f"{there}@{digest}") == warned("elsewhere.org/a:1") == ""
    for absent in (f"{there}:2", f"{bed.address}/shop/none:1", f"{there}@{DIGEST}", f"{there}@sha256:{'../' * 20}aa"):
        assert absent in warned(absent)
    assert "push it before the job runs" in warned(f"{there}:2")
    assert warned(f"{there}:1", auth={"username": "nina", "password": secret}) == ""
    wrong = warned(f"{there}:1", auth={"username": "nina", "password": "wr0ng"})
    assert 'with the `auth` of user "nina"' in wrong
    assert "wr0ng" not in wrong
    (bed.keys.folder / "current").unlink()
    assert "kokiris addon enable registry" in warned(f"{there}:1")
