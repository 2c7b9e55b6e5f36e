"""The limits of a commit, just below and just above."""

from __future__ import annotations

import pytest

from kokiris.kernel.errors import BadInput, TooLarge
from kokiris.store.contract import Condition
from kokiris.store.limits import MAX_COMMIT_BYTES, MAX_OPERATIONS, check_commit


def test_at_the_limits() -> None:
    names = [b"/%05d" % each for each in range(MAX_OPERATIONS)]
    check_commit([Condition(name, 0) for name in names], dict.fromkeys(names[:-1], b""), names[-1:])
    check_commit([], {b"/a": bytes(MAX_COMMIT_BYTES - 2)}, [])
    check_commit([], {}, [])


def test_over_the_limits() -> None:
    names = [b"/%05d" % each for each in range(MAX_OPERATIONS + 1)]
    with pytest.raises(TooLarge, match=str(MAX_OPERATIONS)):
        check_commit([], dict.fromkeys(names[1:], b""), names[:1])
    with pytest.raises(TooLarge, match=str(MAX_COMMIT_BYTES)):
        check_commit([], {b"/a": bytes(MAX_COMMIT_BYTES - 1)}, [])


@pytest.mark.parametrize(
    ("puts", "deletes"), [({b"": b""}, []), ({}, [b""]), ({b"\0": b""}, []), ({b"a": b""}, [b"a"])]
)
def test_keys_that_cannot_be(puts: dict[bytes, bytes], deletes: list[bytes]) -> None:
    with pytest.raises(BadInput):
        check_commit([], puts, deletes)
