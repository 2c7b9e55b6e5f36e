"""Encryption at rest: bound to its place, keys that rotate, files that must be private."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokiris.kernel.errors import HostError, Unavailable
from kokiris.variables.sealing import load_keyring, make_keyring, rotate


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "variables.key"
    assert make_keyring(path)
    return path


def test_the_key_file_is_made_once_and_private(key_file):
    before = key_file.read_bytes()
    assert not make_keyring(key_file)
    assert key_file.read_bytes() == before
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_what_is_sealed_opens_only_at_its_place(key_file):
    ring = load_keyring(key_file)
    key_id, sealed = ring.seal(b"the password", b"/a/b")
    assert b"password" not in sealed
    assert ring.open(key_id, sealed, b"/a/b") == b"the password"
    with pytest.raises(Unavailable):
        ring.open(key_id, sealed, b"/a/c")


def test_every_sealing_differs(key_file):
    ring = load_keyring(key_file)
    assert ring.seal(b"x", b"k") != ring.seal(b"x", b"k")


@given(at=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_a_changed_bit_is_seen(tmp_path_factory, at, bit):
    path = tmp_path_factory.mktemp("ring") / "key"
    make_keyring(path)
    ring = load_keyring(path)
    key_id, sealed = ring.seal(b"content", b"k")
    broken = bytearray(sealed)
    broken[at % len(broken)] ^= 1 << bit
    with pytest.raises(Unavailable):
        ring.open(key_id, bytes(broken), b"k")


def test_after_a_rotation_old_content_still_opens(key_file):
    old = load_keyring(key_file)
    sealed = old.seal(b"old", b"k")
    assert rotate(key_file) != old.active
    ring = load_keyring(key_file)
    assert ring.open(*sealed, b"k") == b"old"
    with pytest.raises(Unavailable, match="does not hold"):
        old.open(*ring.seal(b"new", b"k"), b"k")


def test_keys_are_not_shown(key_file):
    ring = load_keyring(key_file)
    assert ring.active in repr(ring)
    assert "AESGCM" not in repr(ring)


def test_wrong_files_are_refused(tmp_path, key_file):
    with pytest.raises(HostError, match="cannot be read"):
        load_keyring(tmp_path / "none")
    key_file.chmod(0o644)
    with pytest.raises(HostError, match="readable for others"):
        load_keyring(key_file)
    key_file.write_bytes(b"{}")
    key_file.chmod(0o600)
    with pytest.raises(HostError, match="damaged"):
        load_keyring(key_file)
