"""Who this node is, for ever: an id, and a secret that only it and (as a hash) the servers know."""

from __future__ import annotations

import secrets

import msgspec

from kokiris.infra.config import Layout
from kokiris.kernel.errors import HostError
from kokiris.kernel.files import write_secret
from kokiris.kernel.ids import is_id, new_id


class Identity(msgspec.Struct, kw_only=True):
    """`SecretID` never leaves the node but to its servers."""

    NodeID: str
    SecretID: str

    def __repr__(self) -> str:
        return f"Identity(NodeID={self.NodeID!r})"


def load_identity(layout: Layout) -> Identity:
    """Reads it, or makes it on a new node. Raises HostError for a damaged file rather than become another node."""
    path = layout.worker / "node.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Identity)
    except FileNotFoundError:
        made = Identity(NodeID=new_id(), SecretID=secrets.token_hex(32))
        write_secret(path, msgspec.json.encode(made))
        return made
    except (OSError, msgspec.MsgspecError) as error:
        raise HostError(
            f"the node's identity {path} cannot be read", next_step="Restore it, or remove it to join as a new node."
        ) from error
    if not is_id(found.NodeID):
        raise HostError(f"the node's identity {path} holds no node id", next_step="Remove it to join as a new node.")
    return found
