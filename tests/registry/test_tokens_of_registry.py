"""Keys, claims and the token endpoint itself, to the letter that clients and the registry expect."""

from __future__ import annotations

import base64
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import falcon.testing
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kokiris.access.model import Keys as AccessKeys
from kokiris.access.tokens import TokenTable, new_token
from kokiris.kernel.errors import BadInput, Busy, Conflict, NotFound, Unavailable
from kokiris.registry.accounts import Accounts
from kokiris.registry.api.app import make_registry_app
from kokiris.registry.model import Keys
from kokiris.registry.scopes import parse_grant
from kokiris.registry.service import RegistryService
from kokiris.registry.signing import SigningKeys
from kokiris.registry.tokenserver import Issuing
from kokiris.store.contract import Event
from kokiris.store.follow import Follower
from kokiris.store.opening import open_store

SERVICE = "registry.demo.example.org"


class Door:
    """The app over a real store, and what a test needs of it."""

    def __init__(self, service: RegistryService, keys: SigningKeys, management: str) -> None:
        self.service, self.keys, self.management = service, keys, management
        self.client = falcon.testing.ASGIConductor(make_registry_app(service))

    async def get(self, query: str, user: str = "", secret: str = "") -> Any:
        headers = {"Authorization": basic(user, secret)} if user else {}
        return await self.client.simulate_get("/token", query_string=query, headers=headers)

    async def post(self, **form: str) -> Any:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.client.simulate_post("/token", body=urlencode(form), headers=kind)


def basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    found: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    store = await open_store("sqlite", path=tmp_path / "store", endpoints=[], tls=None)
    accounts = Accounts(Keys("demo"))
    follower = Follower(store, accounts.root, accounts.load, accounts.apply)
    await follower.start()
    keys = SigningKeys(tmp_path / "keys")
    keys.ensure()
    table = TokenTable(AccessKeys("demo", "rec1").root)
    made = new_token("m", "management", 1)
    key = AccessKeys("demo", "rec1").token(made.record.AccessorID)
    table.apply(1, [Event(key, msgspec.msgpack.encode(made.record), 1, 1)])
    service = RegistryService(
        client="demo", issuing=Issuing(SERVICE, "us"), keys=keys.folder, storage=tmp_path / "blobs", store=store,
        accounts=accounts, wait_for=follower.wait_for, infra_tokens=table, jobs=list,
        token_lives=lambda accessor: any(one.AccessorID == accessor for one in table.tokens()),
    )  # fmt: skip
    yield Door(service, keys, made.secret)
    await follower.stop()
    await store.close()


def test_keys_are_secret_and_rotate(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path / "keys")
    with pytest.raises(Unavailable, match="not enabled"):
        keys.signer()
    assert keys.ensure()
    assert not keys.ensure()
    first = keys.signer().kid
    assert len(first.split(":")) == 12
    assert all(len(group) == 4 for group in first.split(":"))
    for path in keys.folder.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys.add_key()
    assert keys.bundle().count(b"BEGIN CERTIFICATE") == 2
    assert keys.signer().kid == first, "the new key signs only once the registry knows it"
    keys.use_newest_key()
    assert keys.signer().kid != first
    assert keys.drop_old_keys() == 1
    assert keys.bundle().count(b"BEGIN CERTIFICATE") == 1


async def test_a_token_is_signed_and_says_what_it_should(door: Door) -> None:
    secret = await door.service.writes.add("alice", "user", [parse_grant("shop/*:pull")])
    answer = await door.get(f"service={SERVICE}&scope=repository:shop/web:pull,push", "alice", secret)
    assert answer.status_code == 200
    token = answer.json["token"]
    assert answer.json["access_token"] == token
    assert answer.json["expires_in"] >= 60
    assert answer.json["issued_at"].endswith("Z")
    assert "refresh_token" not in answer.json
    assert "scope" not in answer.json
    body = claims(token)
    assert body["access"] == [{"type": "repository", "name": "shop/web", "actions": ["pull"]}]
    assert (body["iss"], body["sub"], body["aud"]) == ("us", "alice", SERVICE)
    assert body["nbf"] < body["iat"] < body["exp"]
    head, payload, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    assert len(raw) == 64
    certificate = x509.load_pem_x509_certificate(door.keys.bundle())
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(der, f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))


async def test_login_without_scope_gives_an_empty_list_and_a_refresh_token(door: Door) -> None:
    secret = await door.service.writes.add("alice", "user", [parse_grant("shop/*:pull,push")])
    login = await door.get(f"account=alice&client_id=docker&offline_token=true&service={SERVICE}", "alice", secret)
    assert claims(login.json["token"])["access"] == []
    refresh = login.json["refresh_token"]
    scope = "repository:shop/web:pull,push"
    answer = await door.post(grant_type="refresh_token", refresh_token=refresh, service=SERVICE, scope=scope)
    assert answer.status_code == 200
    assert answer.json["refresh_token"] == refresh
    assert answer.json["scope"] == "repository:shop/web:pull,push"
    assert claims(answer.json["access_token"])["access"][0]["actions"] == ["pull", "push"]
    stored = door.service.accounts.refresh_tokens_of("alice")
    assert len(stored) == 1
    assert refresh not in str(msgspec.to_builtins(stored[0]))
    await door.service.writes.rotate("alice")
    gone = await door.post(grant_type="refresh_token", refresh_token=refresh, service=SERVICE)
    assert gone.status_code == 401


async def test_password_grant(door: Door) -> None:
    form = {"grant_type": "password", "username": "token", "password": door.management, "service": SERVICE}
    answer = await door.post(**form, scope="registry:catalog:*", access_type="offline")
    assert claims(answer.json["token"])["access"] == [{"type": "registry", "name": "catalog", "actions": ["*"]}]
    assert answer.json["refresh_token"]
    assert (await door.post(**{**form, "password": "wrong"})).status_code == 401
    assert (await door.post(grant_type="client_credentials")).status_code == 400


async def test_anonymous_gets_a_token_that_opens_nothing(door: Door) -> None:
    answer = await door.get(f"service={SERVICE}&scope=repository:a/b:pull&offline_token=true")
    assert answer.status_code == 200
    assert claims(answer.json["token"])["sub"] == ""
    assert claims(answer.json["token"])["access"] == []
    assert "refresh_token" not in answer.json
    await door.service.set_anonymous(["a/*"])
    answer = await door.get(f"service={SERVICE}&scope=repository:a/b:pull,push")
    assert claims(answer.json["token"])["access"][0]["actions"] == ["pull"]


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer x", "Basic " + base64.b64encode(b"nocolon").decode()])
async def test_malformed_credentials_are_401(door: Door, header: str) -> None:
    answer = await door.client.simulate_get("/token", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json["errors"][0]["code"] == "UNAUTHORIZED"


async def test_tokens_for_another_service_are_refused(door: Door) -> None:
    assert (await door.get("service=elsewhere.example.org")).status_code == 401


async def test_accounts_are_checked(door: Door) -> None:
    writes = door.service.writes
    for name in ("", "token", "node", "anonymous", "Upper", "a b", "x" * 65, "-a"):
        with pytest.raises(BadInput):
            await writes.add(name, "user", [])
    await writes.add("alice", "user", [])
    with pytest.raises(Conflict, match="alice"):
        await writes.add("alice", "robot", [])
    with pytest.raises(NotFound):
        await writes.remove("bob")
    with pytest.raises(NotFound):
        await writes.rotate("bob")


async def test_the_api_needs_the_infras_token(door: Door) -> None:
    for method, path in (("GET", "accounts"), ("GET", "repositories"), ("POST", "gc"), ("DELETE", "tag")):
        answer = await door.client.simulate_request(method, f"/api/v1/{path}")
        assert answer.status_code == 403, path


async def test_settings_are_kept_whole(door: Door) -> None:
    service = door.service
    await service.set_quota(5)
    await service.set_retention("a/*", 3)
    await service.set_retention("**", 9)
    await service.set_retention("a/*", 4)
    assert [(rule.Repository, rule.KeepLast) for rule in service.accounts.settings.Retention] == [("a/*", 4), ("**", 9)]
    await service.set_retention("a/*", 0)
    assert [rule.Repository for rule in service.accounts.settings.Retention] == ["**"]
    assert service.accounts.settings.QuotaBytes == 5
    for wrong in (-1,):
        with pytest.raises(BadInput):
            await service.set_quota(wrong)
    service.accounts.settings_revision = 1
    with pytest.raises(Busy):
        await service.set_quota(1)
