"""Every error a user can meet has a code, a status and a next step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kokiris.kernel import errors
from kokiris.kernel.errors import KokirisError


def _all(base: type[KokirisError]) -> Iterator[type[KokirisError]]:
    yield base
    for sub in base.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield from _all(sub)


@pytest.mark.parametrize("kind", list(_all(KokirisError)), ids=lambda kind: kind.__name__)
def test_the_tree(kind: type[KokirisError]) -> None:
    error = kind("thing 7 is broken")
    assert (str(error), error.message) == ("thing 7 is broken", "thing 7 is broken")
    assert error.next_step.endswith(".")
    assert 400 <= error.http_status < 600
    assert error.exit_code > 0
    assert kind("x", next_step="Do y.").next_step == "Do y."
    assert kind.__name__ in (errors.__doc__ or "")
    assert f"{error.http_status} / exit {error.exit_code}" in (errors.__doc__ or "")


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in _all(KokirisError)]
    assert len(codes) == len(set(codes))
