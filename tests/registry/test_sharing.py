"""One registry per client: another infra pulls from it, and what it uses stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from kokiris.kernel.errors import BadInput, Forbidden, Unavailable
from kokiris.kernel.units import SECOND_NS
from kokiris.registry.claims import NODE_TOKEN_LIFE_S
from kokiris.registry.images import ImageName
from kokiris.registry.model import UsedImage
from kokiris.registry.scopes import parse_grant
from kokiris.registry.shared import SharedRegistry
from kokiris.registry.sharing import Share, read_share
from tests.registry.bed import Bed
from tests.registry.test_docker_client import pulls

pytestmark = pytest.mark.engine

Used = dict[ImageName, list[str]]


@pytest.fixture
def used() -> Used:
    """What jobs of the other infra use: a test changes it."""
    return {}


@pytest.fixture
def shares() -> list[Share]:
    """The last is the file's content."""
    return []


@pytest.fixture
async def rec2(bed: Bed, used: Used, shares: list[Share]) -> AsyncIterator[SharedRegistry]:
    """The other infra's side; its authority is checked."""
    secret = await bed.writes.add("rec2", "infra", [parse_grant("**:pull")])
    authority = (bed.folder / "tls" / "ca.pem").read_text()
    shares.append(Share(Server=bed.address, Authority=authority, Account="rec2", Secret=secret))
    registry = SharedRegistry(lambda: shares[-1], lambda: used)
    yield registry
    await registry.close()


async def test_it_pulls_and_nothing_else(bed: Bed, rec2: SharedRegistry, shares: list[Share]) -> None:
    await bed.login_user("rosa", "**:pull,push")
    assert (await bed.docker("push", bed.image("shop/web:1"), config="rosa")).code == 0
    token = await rec2.pull_token("shop/web")
    assert await pulls(bed, token, "shop/web") == 200
    assert await pulls(bed, token, "shop/other") == 401, "for that repository only"
    identity = bed.service.tokens.by_password("rec2", shares[-1].Secret)
    assert identity.pull_life_s == NODE_TOKEN_LIFE_S, "it lasts for a slow pull"
    assert identity.rights.on("shop/web") == {"pull"}


async def test_what_it_uses_stays_until_its_account_goes(bed: Bed, rec2: SharedRegistry, used: Used) -> None:
    await bed.login_user("rosa", "**:pull,push")
    for number in range(3):
        assert (await bed.docker("push", bed.image(f"shop/web:{number}"), config="rosa")).code == 0
    digest = await bed.digest("shop/web", "1")
    assert digest is not None
    used[ImageName("shop/web", "0")] = ["default/shop"]
    used[ImageName("shop/web", digest=digest)] = ["default/other"]
    await rec2.pull_token("shop/web")
    assert bed.service.users() == {
        ImageName("shop/web", "0"): ["rec2: default/shop"],
        ImageName("shop/web", digest=digest): ["rec2: default/other"],
    }
    _, shown = await bed.api("GET", "use")
    assert sorted(job for one in shown["Images"] for job in one["Jobs"]) == [
        "rec2: default/other",
        "rec2: default/shop",
    ]
    with pytest.raises(BadInput, match="rec2: default/shop"):
        await bed.service.delete_tag("shop/web", "0", force=False)
    await bed.service.delete_tag("shop/web", "1", force=True)
    await bed.service.set_retention("**", 1)
    assert await bed.service.run_retention(dry_run=False) == []
    await bed.service.collect(dry_run=False, grace_s=0)
    assert (await bed.docker("pull", f"{bed.address}/shop/web@{digest}", config="rosa")).code == 0
    _, shown = await bed.api("GET", "settings")
    assert [(one["Name"], one["Images"]) for one in shown["SharedWith"]] == [("rec2", 2)]
    await bed.writes.remove("rec2")
    assert bed.service.users() == {}
    assert await bed.service.run_retention(dry_run=False) == ["shop/web:0"]


async def test_only_news_is_said(bed: Bed, rec2: SharedRegistry, used: Used) -> None:
    await rec2.report()
    first = bed.accounts.uses["rec2"]
    await rec2.report()
    assert bed.accounts.uses["rec2"] is first
    used[ImageName("shop/web", "0")] = ["default/shop"]
    await rec2.report()
    assert bed.accounts.uses["rec2"].Images == [UsedImage(Repository="shop/web", Tag="0", Jobs=["default/shop"])]
    assert bed.accounts.uses["rec2"].At >= first.At > SECOND_NS


async def test_who_may_not_is_told_what_to_do(bed: Bed, rec2: SharedRegistry, shares: list[Share]) -> None:
    secret = await bed.writes.rotate("rec2")
    with pytest.raises(Unavailable, match="answers 401") as refused:
        await rec2.pull_token("shop/web")
    assert "kokiris registry share rec2" in refused.value.next_step
    shares.append(msgspec.structs.replace(shares[-1], Secret=secret))
    assert await rec2.pull_token("shop/web"), "a new file is taken in while it runs"
    await bed.writes.add("ci", "robot", [parse_grant("**:pull")])
    robot = bed.accounts.get("ci")
    assert robot is not None
    with pytest.raises(Forbidden, match="kind robot"):
        await bed.service.note_use(robot, [])


async def test_an_authority_of_somebody_else_is_not_believed(bed: Bed, rec2: SharedRegistry) -> None:
    from tests.engines.certificates import make_certificates

    other = make_certificates(bed.folder / "other-tls").ca.read_text()
    share = Share(Server=bed.address, Authority=other, Account="rec2", Secret="x")
    mistaken = SharedRegistry(lambda: share, dict)
    with pytest.raises(Unavailable, match="does not answer"):
        await mistaken.pull_token("shop/web")
    await mistaken.close()


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "share.json"
    with pytest.raises(BadInput, match=r"share\.json does not exist"):
        read_share(path)
    for wrong in ("", "{}", '{"Server": 1}', "[]"):
        path.write_text(wrong)
        with pytest.raises(BadInput, match=r"share\.json is not the file"):
            read_share(path)
    made = Share(Server="registry.demo.example.org:8443", Authority="", Account="rec2", Secret="s")
    assert made.client == "demo"
