"""dockerd's own messages, and what is said about them."""

from __future__ import annotations

import pytest

from kokiris.worker.drivers.start_advice import start_advice


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("Error starting userland proxy: listen tcp4 172.17.0.1:31500: bind: address already in use", "port"),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", "port"),
        ('unable to start container process: exec: "x": executable file not found in $PATH: unknown', "command"),
        ('exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown', "command"),
    ],
)
def test_advice(message: str, word: str) -> None:
    assert word in (start_advice(message) or "")


def test_other_messages_speak_for_themselves() -> None:
    assert start_advice("something else") is None
