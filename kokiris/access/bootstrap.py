"""The two tokens of a new infra, made once by `up` and known to the servers by their hashes: the client's management
token, and the operator's, which also opens namespace "platform"."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kokiris.access.model import Keys, TokenRecord
from kokiris.access.tokens import new_token
from kokiris.infra.config import Config, Layout
from kokiris.kernel.errors import StoreError
from kokiris.kernel.files import write_secret
from kokiris.kernel.names import PLATFORM
from kokiris.store.contract import Condition, Store


def door_address(config: Config, host: str) -> str:
    """`https://<host>`, with the port when it is not the usual one."""
    return f"https://{host}" if config.ports.https == 443 else f"https://{host}:{config.ports.https}"


def environment(config: Config, layout: Layout, secret: str) -> dict[str, str]:
    """What Nomad's and Consul's clients read from their environment, and the name to `docker login` to."""
    ca_file = str(layout.tls / "ca.pem")
    return {
        "NOMAD_ADDR": door_address(config, config.addresses.nomad),
        "NOMAD_TOKEN": secret,
        "NOMAD_CACERT": ca_file,
        "CONSUL_HTTP_ADDR": door_address(config, config.addresses.consul),
        "CONSUL_HTTP_TOKEN": secret,
        "CONSUL_CACERT": ca_file,
        "KOKIRIS_REGISTRY": config.registry_server,
    }


def make_management_token(config: Config, layout: Layout, now_ns: int) -> str | None:
    """Writes the token file and the hash file. The secret, to be shown now; None when the token existed already."""
    if layout.token_file.exists() and layout.token_hash.exists():
        return None
    token = new_token(f"{config.name} management", "management", now_ns)
    _write(layout.token_file, environment(config, layout, token.secret))
    write_secret(layout.token_hash, msgspec.json.encode(token.record))
    return token.secret


def make_operator_token(config: Config, layout: Layout, now_ns: int) -> bool:
    """Writes the operator token's file and hash file, to be read by the platform's own commands. False: it existed."""
    if layout.operator_file.exists() and layout.operator_hash.exists():
        return False
    token = new_token(f"{config.name} operator", "operator", now_ns)
    _write(layout.operator_file, environment(config, layout, token.secret) | {"NOMAD_NAMESPACE": PLATFORM})
    write_secret(layout.operator_hash, msgspec.json.encode(token.record))
    return True


def rename_registry(config: Config, layout: Layout) -> None:
    """Puts the present registry into token files that were written for another one."""
    for path in (layout.token_file, layout.operator_file):
        lines = path.read_text().splitlines(keepends=True)
        line = f"export KOKIRIS_REGISTRY={shlex.quote(config.registry_server)}\n"
        wanted = [line if one.startswith("export KOKIRIS_REGISTRY=") else one for one in lines]
        if wanted != lines:
            write_secret(path, "".join(wanted).encode())


def _write(path: Path, variables: Mapping[str, str]) -> None:
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    write_secret(path, "".join(lines).encode())


async def register_tokens(store: Store, keys: Keys, layout: Layout) -> None:
    """Puts the tokens' records into the store unless they are there. Called by a server when it starts."""
    for path in (layout.token_hash, layout.operator_hash):
        if path.exists():
            await _register(store, keys, msgspec.json.decode(path.read_bytes(), type=TokenRecord))


async def _register(store: Store, keys: Keys, record: TokenRecord) -> None:
    key = keys.token(record.AccessorID)
    if await store.get(key) is None:
        result = await store.commit([Condition(key, 0)], {key: msgspec.msgpack.encode(record)})
        if not result.succeeded and await store.get(key) is None:
            raise StoreError(f"the token {record.Name} could not be registered in the store")
