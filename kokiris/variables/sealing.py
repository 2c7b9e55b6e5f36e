"""Encryption at rest: one data key per infra in a file of its own, older ones kept so that the key can be rotated."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kokiris.kernel.errors import HostError, Unavailable
from kokiris.kernel.files import write_secret

KEY_BYTES = 32
NONCE_BYTES = 12


class _KeyFile(msgspec.Struct, kw_only=True):
    """`Active` seals; all open."""

    Active: str
    Keys: dict[str, bytes]


class Keyring:
    """The data keys. Holds secrets: never logged, its repr shows ids only."""

    def __init__(self, active: str, keys: dict[str, bytes]) -> None:
        self._active = active
        self._ciphers = {key_id: AESGCM(data) for key_id, data in keys.items()}

    def __repr__(self) -> str:
        return f"Keyring(active={self._active!r}, ids={sorted(self._ciphers)})"

    @property
    def active(self) -> str:
        """The id of the key that seals."""
        return self._active

    def seal(self, clear: bytes, bound_to: bytes) -> tuple[str, bytes]:
        """(key id, sealed). It opens only together with the same `bound_to`."""
        nonce = os.urandom(NONCE_BYTES)
        return self._active, nonce + self._ciphers[self._active].encrypt(nonce, clear, bound_to)

    def open(self, key_id: str, sealed: bytes, bound_to: bytes) -> bytes:
        """Raises Unavailable for a key that is not held here, or content that was tampered with."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise Unavailable(
                f'the variables are sealed with key "{key_id}", which this server does not hold',
                next_step="Copy access/variables.key from the server that made it, then start this one again.",
            )
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
        except InvalidTag:
            raise Unavailable(
                "a stored variable does not open: it was changed outside of kokiris, or its key file was replaced",
                next_step="Restore access/variables.key, or put the variable anew.",
            ) from None


def make_keyring(path: Path) -> bool:
    """Writes a key file with one new key (0600) unless there is one; True when it did."""
    if path.exists():
        return False
    _write(path, _with_new_key({}))
    return True


def rotate(path: Path) -> str:
    """Adds a key that seals from now on; older ones still open. Its id. Servers read the file when they start."""
    content = _with_new_key(_read(path).Keys)
    _write(path, content)
    return content.Active


def load_keyring(path: Path) -> Keyring:
    """Raises HostError when the file is missing, unreadable, or readable for others."""
    content = _read(path)
    return Keyring(content.Active, content.Keys)


def _with_new_key(keys: dict[str, bytes]) -> _KeyFile:
    key_id = secrets.token_hex(4)
    return _KeyFile(Active=key_id, Keys={**keys, key_id: AESGCM.generate_key(KEY_BYTES * 8)})


def _write(path: Path, content: _KeyFile) -> None:
    write_secret(path, msgspec.json.encode(content))


def _read(path: Path) -> _KeyFile:
    try:
        if path.stat().st_mode & 0o077:
            raise HostError(f"{path} is readable for others", next_step=f"Run `chmod 600 {path}`.")
        content = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
    except OSError as error:
        raise HostError(f"the variables' key {path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise HostError(f"the variables' key {path} is damaged", next_step="Restore it from a backup.") from error
    if content.Active not in content.Keys or any(len(one) != KEY_BYTES for one in content.Keys.values()):
        raise HostError(f"the variables' key {path} is damaged", next_step="Restore it from a backup.")
    return content
