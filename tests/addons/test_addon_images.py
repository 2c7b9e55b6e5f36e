"""Recipes, archives and layers: pure parts by tables, the build with real mounts and a real engine."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from kokiris.addons import build, images
from kokiris.addons.archive import hashed, image_config, write_archive, write_layer
from kokiris.addons.build import apt_sources, cached, ensure, tag_of
from kokiris.addons.recipe import PLATFORM, Settings, read_recipe, recipe_names
from kokiris.infra.config import AddOnsConfig, Config
from kokiris.kernel.errors import BadInput, HostError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


def recipes(folder: Path, packages: str = "[]") -> Path:
    """A folder of recipes: a base, and "tiny" on it."""
    for name in ("base", "tiny"):
        (folder / name).mkdir(parents=True)
        (folder / name / "recipe.toml").write_text(f'title = "{name}"\npackages = {packages}\n')
    shutil.copy(PLATFORM / "images" / "layer.sh", folder / "layer.sh")
    return folder


def test_every_recipe_of_the_repository_reads() -> None:
    names = recipe_names()
    assert {"registry", "mariadb", "phpmyadmin"} <= set(names)
    assert "base" not in names
    digests = {read_recipe(name).digest for name in names}
    assert len(digests) == len(names)


@pytest.mark.parametrize("change", [
    lambda folder: (folder / "tiny" / "setup.sh").write_text("true\n"),
    lambda folder: (folder / "tiny" / "recipe.toml").write_text('title = "other"\n'),
    lambda folder: (folder / "base" / "dpkg.cfg").write_text("path-exclude=/x\n"),
    lambda folder: (folder / "layer.sh").write_text("#!/bin/sh\n"),
    lambda folder: (folder / "layer.sh").chmod(0o600),
])  # fmt: skip
def test_the_digest_follows_what_an_image_is_made_of(tmp_path: Path, change: object) -> None:
    folder = recipes(tmp_path / "images")
    before = read_recipe("tiny", folder).digest
    assert read_recipe("tiny", folder).digest == before
    change(folder)
    assert read_recipe("tiny", folder).digest != before


def test_a_recipe_of_another_image_does_not_matter(tmp_path: Path) -> None:
    folder = recipes(tmp_path / "images")
    before = read_recipe("tiny", folder).digest
    (folder / "big").mkdir()
    (folder / "big" / "recipe.toml").write_text('title = "big"\n')
    assert read_recipe("tiny", folder).digest == before


@pytest.mark.parametrize(("text", "said"), [
    ("title = 1", "title"), ("title = ", "recipe.toml"), ('title = "x"\npakages = []', "pakages"),
    (None, "no image recipe"),
])  # fmt: skip
def test_a_wrong_recipe_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    folder = recipes(tmp_path / "images")
    path = folder / "tiny" / "recipe.toml"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(BadInput, match=said):
        read_recipe("tiny", folder)


def test_the_newest_archive_of_exactly_this_recipe_counts(tmp_path: Path) -> None:
    recipe = read_recipe("tiny", recipes(tmp_path / "images"))
    assert cached(recipe, tmp_path) is None
    for name in (
        f"tiny-{recipe.digest}-20260101000000.tar", f"tiny-{recipe.digest}-20260102000000.tar",
        "tiny-000000000000-20270101000000.tar", f"tinyer-{recipe.digest}-20270101000000.tar",
    ):  # fmt: skip
        (tmp_path / name).touch()
    archive = cached(recipe, tmp_path)
    assert archive is not None
    assert tag_of(recipe, archive) == f"{recipe.digest}-20260102000000"


def test_sources_are_the_machines_own(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# nothing\n\n")
    with pytest.raises(HostError, match="names no package sources"):
        apt_sources(tmp_path)
    (tmp_path / "sources.list.d" / "a.sources").write_text("Types: deb\n")
    (tmp_path / "sources.list.d" / "b.list.disabled").write_text("deb x\n")
    assert [path.name for path in apt_sources(tmp_path)] == ["a.sources"]


def test_a_recipe_never_names_where_packages_come_from() -> None:
    for path in PLATFORM.rglob("*"):
        if path.is_file():
            assert "://" not in path.read_text(), path


def test_an_operators_own_image_is_taken_as_it_is(tmp_path: Path) -> None:
    config = Config(
        client="demo",
        infra="rec1",
        data_dir=str(tmp_path),
        addons=AddOnsConfig(images={"registry": "upstream/registry:3"}),
    )
    assert images.chosen(config, "registry", tmp_path) == "upstream/registry:3"
    assert images.provide(config, "registry", print, cache=tmp_path) == "upstream/registry:3"
    assert images.chosen(config, "mariadb", tmp_path) == ""


@needs_root
def test_a_layer_says_what_was_removed(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "etc" / "new").mkdir(parents=True)
    (upper / "etc" / "file").write_text("x")
    (upper / "etc" / "link").symlink_to("/nowhere")
    os.mknod(upper / "etc" / "removed", 0o600 | 0o020000, os.makedev(0, 0))
    os.setxattr(upper / "etc" / "new", "trusted.overlay.opaque", b"y")
    os.chown(upper / "etc" / "file", 990, 991)
    layer = write_layer(upper, tmp_path / "layer.tar", "test")
    with tarfile.open(layer.path) as tar:
        members = {member.name: member for member in tar}
    assert set(members) == {"etc", "etc/file", "etc/link", "etc/new", "etc/new/.wh..wh..opq", "etc/.wh.removed"}
    assert (members["etc/file"].uid, members["etc/file"].gid) == (990, 991)
    assert write_layer(upper, tmp_path / "again.tar", "test").digest == layer.digest


def test_an_archive_is_what_an_engine_loads(tmp_path: Path) -> None:
    content = tmp_path / "layer.tar"
    with tarfile.open(content, "w") as tar:
        member = tarfile.TarInfo("hello")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"hi"))
    layer = hashed(content, "test")
    settings = Settings(
        entrypoint=["/hello"], environment={"A": "b"}, user="1:2", ports=["80/tcp"], stop_signal="SIGQUIT"
    )
    config = image_config(settings, [layer], "amd64", "2026-01-01T00:00:00Z")
    target = tmp_path / "image.tar"
    write_archive(target, "kokiris/tiny:1", config, [layer])
    with tarfile.open(target) as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json"))
        stored = json.load(tar.extractfile(manifest["Config"]))
        assert manifest["RepoTags"] == ["kokiris/tiny:1"]
        assert tar.getmember(manifest["Layers"][0]).size == content.stat().st_size
    assert stored["rootfs"]["diff_ids"] == [f"sha256:{layer.digest}"]
    assert stored["config"]["Entrypoint"] == ["/hello"]
    assert stored["config"]["ExposedPorts"] == {"80/tcp": {}}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "layer.tar"]


@needs_root
@pytest.mark.engine
def test_a_layer_is_built_on_a_base_and_nothing_stays_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the machine's cached base, and no packages: what needs network `make install-dev` has done."""
    base = cached(read_recipe("base"))
    if base is None:
        pytest.skip("the base is not in the cache: scripts/images.sh makes it")
    folder, cache = recipes(tmp_path / "images"), tmp_path / "cache"
    (folder / "tiny" / "files" / "opt").mkdir(parents=True)
    (folder / "tiny" / "files" / "opt" / "hello").write_text("hi\n")
    (folder / "tiny" / "setup.sh").write_text("rm /etc/issue\ngroupadd --gid 990 tiny\necho done > /opt/setup\n")
    recipe = read_recipe("tiny", folder)
    cache.mkdir(mode=0o700)
    (cache / f"base-{read_recipe('base', folder).digest}-20260101000000.tar").hardlink_to(base)
    mounted = Path("/proc/self/mounts").read_text()
    said: list[str] = []
    archive = ensure(recipe, said.append, cache=cache)
    assert Path("/proc/self/mounts").read_text() == mounted
    with tarfile.open(archive) as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json"))
        with tarfile.open(fileobj=tar.extractfile(manifest["Layers"][1])) as layer:
            names = set(layer.getnames())
    assert {"opt/hello", "opt/setup", "etc/.wh.issue", "etc/group"} <= names
    assert not [name for name in names if name.startswith(("proc/", "dev/", "tmp/", "usr/sbin/policy-rc.d"))]
    assert said
    said.clear()
    assert ensure(recipe, said.append, cache=cache) == archive
    assert said == [], "an unchanged recipe is not built again"
    renewed = ensure(recipe, said.append, renew=True, cache=cache)
    assert not [path for path in cache.glob("tiny-*") if path != renewed], "older archives are removed"
    assert not list(cache.glob("build.*"))
    (folder / "tiny" / "setup.sh").write_text("echo the reason >&2\nexit 3\n")
    with pytest.raises(HostError, match="the reason"):
        ensure(read_recipe("tiny", folder), said.append, cache=cache)
    assert Path("/proc/self/mounts").read_text() == mounted
    assert not list(cache.glob("build.*"))


@needs_root
def test_builds_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = read_recipe("tiny", recipes(tmp_path / "images"))
    cache = tmp_path / "cache"
    cache.mkdir()
    made = cache / f"tiny-{recipe.digest}-20260101000000.tar"
    holder = subprocess.Popen(
        ["flock", str(cache / ".lock"), "sh", "-c", f"echo held; read line; touch {made}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"

        def say(text: str) -> None:
            assert "another build" in text
            assert holder.stdin is not None
            holder.stdin.write(b"\n")
            holder.stdin.close()

        monkeypatch.setattr(build, "_check_machine", lambda _: None)
        assert ensure(recipe, say, cache=cache).name.startswith("tiny-"), "made by the other one"
    finally:
        holder.kill()
        holder.wait()
