"""The management token of a new infra: made once by `up`, known to the servers by its hash."""

from __future__ import annotations

import shlex

import msgspec

from kokiris.access.model import Keys, TokenRecord
from kokiris.access.tokens import new_token
from kokiris.infra.config import Config, Layout
from kokiris.kernel.errors import StoreError
from kokiris.kernel.files import write_secret
from kokiris.store.contract import Condition, Store


def door_address(config: Config, host: str) -> str:
    """`https://<host>`, with the port when it is not the usual one."""
    return f"https://{host}" if config.ports.https == 443 else f"https://{host}:{config.ports.https}"


def environment(config: Config, layout: Layout, secret: str) -> dict[str, str]:
    """What Nomad's and Consul's clients read from their environment."""
    ca_file = str(layout.tls / "ca.pem")
    return {
        "NOMAD_ADDR": door_address(config, config.addresses.nomad),
        "NOMAD_TOKEN": secret,
        "NOMAD_CACERT": ca_file,
        "CONSUL_HTTP_ADDR": door_address(config, config.addresses.consul),
        "CONSUL_HTTP_TOKEN": secret,
        "CONSUL_CACERT": ca_file,
    }


def make_management_token(config: Config, layout: Layout, now_ns: int) -> str | None:
    """Writes the token file and the hash file. The secret, to be shown now; None when the token existed already."""
    if layout.token_file.exists() and layout.token_hash.exists():
        return None
    token = new_token(f"{config.name} management", "management", now_ns)
    variables = environment(config, layout, token.secret)
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    write_secret(layout.token_file, "".join(lines).encode())
    write_secret(layout.token_hash, msgspec.json.encode(token.record))
    return token.secret


async def register_management_token(store: Store, keys: Keys, layout: Layout) -> None:
    """Puts the token's record into the store unless it is there. Called by a server when it starts."""
    if not layout.token_hash.exists():
        return
    record = msgspec.json.decode(layout.token_hash.read_bytes(), type=TokenRecord)
    key = keys.token(record.AccessorID)
    if await store.get(key) is None:
        result = await store.commit([Condition(key, 0)], {key: msgspec.msgpack.encode(record)})
        if not result.succeeded and await store.get(key) is None:
            raise StoreError("the management token could not be registered in the store")
