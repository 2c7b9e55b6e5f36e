"""Tokens are known by their hash, and by nothing else."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec

from kokiris.access.bootstrap import make_management_token
from kokiris.access.exports import parse_exports
from kokiris.access.model import Keys, TokenRecord
from kokiris.access.tokens import TokenTable, hash_secret, new_token
from kokiris.infra.config import Config, Layout
from kokiris.kernel.ids import is_id
from kokiris.store.contract import Event, KeyValue, Range

KEYS = Keys("demo", "rec1")


def put(record: TokenRecord, revision: int = 5) -> Event:
    return Event(KEYS.token(record.AccessorID), msgspec.msgpack.encode(record), revision, revision)


def test_a_token_opens_until_it_expires_or_is_deleted() -> None:
    clock = [1000]
    table = TokenTable(KEYS.root, now_ns=lambda: clock[0])
    token = new_token("ci", "client", 1000)
    assert table.authenticate(token.secret) is None
    table.apply(5, [put(msgspec.structs.replace(token.record, ExpirationTime=2000))])
    principal = table.authenticate(token.secret)
    assert principal is not None
    assert (principal.accessor_id, principal.kind, principal.is_management) == (
        token.record.AccessorID,
        "client",
        False,
    )
    clock[0] = 2000
    assert table.authenticate(token.secret) is None
    clock[0] = 1000
    table.apply(6, [Event(KEYS.token(token.record.AccessorID), None, 0, 6)])
    assert table.authenticate(token.secret) is None


def test_neither_the_hash_nor_the_accessor_opens() -> None:
    table = TokenTable(KEYS.root)
    token = new_token("m", "management", 1)
    table.apply(5, [put(token.record)])
    assert table.authenticate(token.secret) is not None
    for wrong in ("", token.record.AccessorID, hash_secret(token.secret), token.secret.upper(), token.secret + " "):
        assert table.authenticate(wrong) is None


def test_loading_replaces_everything() -> None:
    table = TokenTable(KEYS.root)
    old, new = new_token("old", "client", 1), new_token("new", "client", 2)
    table.apply(5, [put(old.record)])
    table.load(Range(9, [KeyValue(KEYS.token(new.record.AccessorID), msgspec.msgpack.encode(new.record), 8, 8)]))
    assert table.authenticate(old.secret) is None
    assert table.authenticate(new.secret) is not None
    assert [record.Name for record in table.tokens()] == ["new"]


def test_the_secret_is_in_one_file_readable_by_its_owner_only(tmp_path: Path) -> None:
    config = Config(client="demo", infra="rec1", data_dir=str(tmp_path))
    layout = Layout(tmp_path)
    secret = make_management_token(config, layout, 1)
    assert secret is not None
    assert is_id(secret)
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_text()]
    assert holding == [layout.token_file]
    assert stat.S_IMODE(layout.token_file.stat().st_mode) == 0o600
    exports = parse_exports(layout.token_file)
    assert exports["NOMAD_TOKEN"] == exports["CONSUL_HTTP_TOKEN"] == secret
    assert exports["NOMAD_ADDR"] == "https://nomad.rec1.demo.customer.kokiris.localhost"
    assert make_management_token(config, layout, 2) is None, "a second run makes no second token"
