"""Enabling and disabling, step by step, on a recorded API; the real one is in tests/scenarios/test_4_addons.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kokiris.addons import lifecycle
from kokiris.addons.images import check_configured
from kokiris.addons.lifecycle import disable, enable, job_variables, make_folders, read_job, status_of
from kokiris.addons.model import AddOn, Folder, Site
from kokiris.addons.recipe import PLATFORM, read_recipe
from kokiris.addons.registered import WHERE, add_on, all_add_ons
from kokiris.databases.api import DatabaseAnswer
from kokiris.databases.model import Database
from kokiris.infra.config import Config, Layout
from kokiris.kernel.errors import BadInput, Conflict, NotFound, Unavailable
from kokiris.orchestrator.jobspec import canonical, unsupported, validate
from kokiris.registry.images import ImageName
from kokiris.registry.shared import use_report


@dataclass
class Answer:
    data: Any
    index: int = 1


@dataclass
class FakeApi:
    """An orchestrator that does at once what it is told."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    healthy: bool = True
    behind: int = 0
    """How many answers about deployment and allocations are still of the version before."""
    answers: dict[str, Any] = field(default_factory=lambda: {"/v1/jobs": [], "/api/v1/use": {"Images": []}})
    """What else it answers to GET, by path."""

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        return self.request("GET", path, params)

    def put(self, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Answer:
        return self.request("PUT", path, params, body)

    def request(self, method: str, path: str, params: Mapping[str, Any] | None = None, body: Any = None) -> Answer:
        parts = path.strip("/").split("/")
        if method != "GET":
            self.calls.append(f"{method} {path}{'?purge' if (params or {}).get('purge') else ''}")
        if method == "GET" and path in self.answers:
            return Answer(self.answers[path])
        if path == "/v1/jobs":
            assert body["Job"]["Namespace"] == "platform"
            before = self.jobs.get(body["Job"]["ID"], {"Version": -1})
            self.jobs[body["Job"]["ID"]] = {**body["Job"], "Stop": False, "Version": before["Version"] + 1}
            return Answer({"EvalID": "e"})
        if parts[1] == "allocation":
            return Answer({"ClientStatus": "complete"})
        assert (params or {}).get("namespace") == "platform", path
        return self._job(method, parts[2], parts[3] if len(parts) > 3 else "", params or {}, body)

    def _job(self, method: str, name: str, verb: str, params: Mapping[str, Any], body: Any) -> Answer:
        job = self.jobs.get(name)
        if verb == "plan":
            same = job is not None and {**body["Job"], "Stop": False, "Version": job.get("Version", 0)} == job
            return Answer({"Diff": {"Type": "None" if same else "Added"}, "Annotations": None})
        if verb in {"deployment", "allocations"} and job:
            version = job.get("Version", 0) - (1 if self.behind else 0)
            self.behind = max(0, self.behind - 1)
        if verb == "deployment":
            status = "successful" if self.healthy else "failed"
            return Answer({"Status": status, "JobVersion": version} if job else None)
        if verb == "allocations":
            events = [
                {"Type": "Driver Failure", "DisplayMessage": "exit code 1"},
                {"Type": "Restarting", "DisplayMessage": "Task restarting in 2s"},
            ]
            alloc = {
                "ID": "a", "ClientStatus": "running" if self.healthy else "failed", "DesiredStatus": "run",
                "JobVersion": version if job else 0,
                "DeploymentStatus": {"Healthy": self.healthy}, "TaskStates": {"main": {"Events": events}},
            }  # fmt: skip
            return Answer([alloc] if job else [])
        if job is None:
            raise NotFound("job not found")
        if method == "DELETE":
            del self.jobs[name]
            self.jobs |= {} if params.get("purge") else {name: {**job, "Stop": True}}
        return Answer(job)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def site(tmp_path: Path, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Site:
    config = Config(client="demo", infra="rec1", data_dir=str(tmp_path))
    layout = Layout(tmp_path)
    monkeypatch.setattr(lifecycle, "provide", lambda config, recipe, say: f"kokiris/{recipe}:1")
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(lifecycle, "POLL_S", 0)
    return Site(
        config=config, layout=layout, data=layout.addons / "registry", api=api, say=lambda _: None, api_at=lambda _: api
    )


def up(host: str, path: str) -> tuple[int, bytes]:
    return 401, b""


def yes(users: Sequence[str]) -> None:
    del users


@pytest.mark.parametrize("name", list(WHERE))
def test_every_job_file_is_one_that_the_platform_may_run(name: str, site: Site) -> None:
    one = add_on(name)
    images = {variable: f"kokiris/{recipe}:1" for variable, recipe in one.images.items()}
    raw, _ = read_job(one, job_variables(one, replace(site, data=site.layout.addons / name), images))
    job = canonical(raw)
    assert (raw["ID"], raw["Namespace"]) == (name, "platform")
    assert validate(job) == []
    assert unsupported(job) == []
    for recipe in one.images.values():
        read_recipe(recipe)


def test_add_ons_stand_after_what_they_require() -> None:
    seen: set[str] = set()
    for one in all_add_ons():
        assert set(one.requires) <= seen
        seen.add(one.name)
    with pytest.raises(BadInput, match='no add-on "shop"'):
        add_on("shop")


def test_enable_prepares_submits_waits_and_finishes_in_order(site: Site, api: FakeApi) -> None:
    order: list[str] = []
    one = replace(
        add_on("registry"), folders=(Folder("blobs"),), variables=lambda _: {},
        prepare=lambda site: order.append(f"prepare {(site.data / 'blobs').is_dir()} {len(api.jobs)}"),
        after=lambda _: order.append(f"after {len(api.jobs)}"),
    )  # fmt: skip
    assert enable(one, site, lambda host, path: order.append(f"probe {host}{path}") or (401, b"")) is True
    assert order == ["prepare True 0", f"probe {site.config.addresses.registry}/v2/", "after 1"]
    api.calls.clear()
    assert enable(one, site, up) is False, "a second time nothing is submitted"
    assert [call for call in api.calls if "plan" not in call] == []


def test_a_change_is_waited_for_not_what_ran_before(site: Site, api: FakeApi) -> None:
    one = replace(add_on("registry"), variables=lambda _: {}, prepare=lambda _: None, after=lambda _: None)
    assert enable(one, site, up)
    api.jobs["registry"]["Priority"] = 1
    api.behind = 5
    said: list[str] = []
    assert enable(one, replace(site, say=said.append), up)
    assert api.behind == 0
    assert said == ["submitting job registry", "waiting for registry to be healthy", "main: exit code 1"]


def test_an_image_of_the_configuration_that_no_add_on_has_is_refused(site: Site) -> None:
    site.config.addons.images["phpmyadmn"] = "x"
    with pytest.raises(BadInput, match=r'"phpmyadmn".*'):
        check_configured(site.config)
    del site.config.addons.images["phpmyadmn"]
    site.config.addons.images["phpmyadmin"] = "x"
    check_configured(site.config)


def test_an_add_on_without_its_requirement_is_refused(site: Site, api: FakeApi) -> None:
    with pytest.raises(Conflict, match='requires "mariadb"'):
        enable(add_on("phpmyadmin"), site, up)
    assert api.calls == []


def test_one_that_fails_says_what_its_task_said(site: Site, api: FakeApi) -> None:
    api.healthy = False
    one = replace(add_on("registry"), prepare=lambda _: None)
    with pytest.raises(Unavailable, match="exit code 1"):
        enable(one, site, up)
    assert status_of(one, site).state == "failing"


def test_one_that_does_not_answer_through_the_vip_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "ANSWER_TIMEOUT_S", 0)
    one = replace(add_on("registry"), prepare=lambda _: None)
    with pytest.raises(Unavailable, match="answers 503 not here"):
        enable(one, site, lambda host, path: (503, b"not here"))


def test_disable_keeps_data_and_purge_removes_them(site: Site, api: FakeApi) -> None:
    order: list[bool] = []
    one = replace(
        add_on("registry"), prepare=lambda _: None,
        removed=lambda site: order.append((site.data / "blobs" / "b").exists()),
    )  # fmt: skip
    enable(one, site, up)
    (site.data / "blobs" / "b").write_text("blob")
    assert disable(one, site, all_add_ons(), purge=False, agree=yes) is True
    assert api.jobs == {}
    assert api.calls[-2:] == ["DELETE /v1/job/registry", "DELETE /v1/job/registry?purge"]
    assert (site.data / "blobs" / "b").read_text() == "blob"
    assert status_of(one, site).detail == f"data kept in {site.data}"
    assert disable(one, site, all_add_ons(), purge=False, agree=yes) is False
    assert disable(one, site, all_add_ons(), purge=True, agree=yes) is True
    assert order == [True]
    assert not site.data.exists()
    assert disable(one, site, all_add_ons(), purge=True, agree=yes) is False


def test_what_is_required_is_not_disabled(site: Site, api: FakeApi) -> None:
    needing = AddOn(name="needing", title="", images={}, requires=("registry",))
    api.jobs |= {"registry": {"Stop": False}, "needing": {"Stop": False}}
    with pytest.raises(Conflict, match="required by needing"):
        disable(add_on("registry"), site, [needing], purge=True, agree=yes)
    api.jobs["needing"]["Stop"] = True
    assert disable(add_on("registry"), site, [needing], purge=False, agree=yes) is True


def database(name: str, *jobs: str) -> Any:
    """As the servers answer it."""
    shown = DatabaseAnswer(Database=Database(Name=name, User=name), Variable="", Jobs=list(jobs))
    return msgspec.to_builtins(shown)


@pytest.mark.parametrize(
    ("name", "answers", "users"),
    [
        (
            "mariadb",
            {"/v1/databases": [
                database("shop", "web", "cron"), database("idle"),
            ]},
            ["default/cron (database shop)", "default/web (database shop)"],
        ),
        (
            "registry",
            {
                "/v1/jobs": [
                    {"Namespace": "default", "ID": "web", "Stop": False},
                    {"Namespace": "default", "ID": "stopped", "Stop": True},
                    {"Namespace": "default", "ID": "other", "Stop": False},
                ],
                "/api/v1/use": msgspec.to_builtins(use_report({
                    ImageName("web", "1"): ["default/stopped", "default/web"],
                    ImageName("web", "2"): ["default/web", "rec2: default/web"],
                })),
            },
            ["default/web", "rec2: default/web"],
        ),
        ("phpmyadmin", {}, []),
    ],
)  # fmt: skip
def test_what_jobs_use_is_not_disabled_unasked(
    site: Site, api: FakeApi, name: str, answers: dict[str, Any], users: list[str]
) -> None:
    asked: list[list[str]] = []

    def no(given: Sequence[str]) -> None:
        asked.append(list(given))
        raise BadInput("no")

    assert disable(replace(add_on(name), removed=lambda _: None), site, [], purge=False, agree=yes) is False
    api.jobs |= {name: {"Stop": False}}
    api.answers |= answers
    with pytest.raises(BadInput):
        disable(add_on(name), site, [], purge=True, agree=no)
    assert asked == [users]
    assert api.calls == []
    assert disable(add_on(name), site, [], purge=False, agree=yes) is True
    with pytest.raises(BadInput):
        disable(add_on(name), site, [], purge=True, agree=no)
    assert asked[1:] == [[]], "what is disabled is used by nobody"


def test_folders_keep_what_is_in_them(site: Site) -> None:
    one = AddOn(name="registry", title="", images={}, folders=(Folder("a/b", mode=0o700), Folder("a", mode=0o750)))
    for _ in range(2):
        make_folders(one, site)
        (site.data / "a" / "b" / "kept").touch()
    assert (site.data / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert site.data.stat().st_mode & 0o777 == 0o711


def test_job_files_stand_beside_the_package() -> None:
    for one in all_add_ons():
        assert (PLATFORM / one.job_file).is_file()
