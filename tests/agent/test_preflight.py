"""What is asked of the machine before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokiris.agent.bringup.preflight import check_machine, is_local
from kokiris.infra.config import Config, Layout
from kokiris.kernel.errors import HostError


def test_addresses_of_this_machine() -> None:
    assert is_local("127.0.0.1")
    assert is_local("0.0.0.0")
    assert not is_local("192.0.2.1"), "documentation's own (RFC 5737): nobody has it"


def test_a_vip_of_another_machine_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    config = Config(client="demo", infra="rec1", data_dir=str(tmp_path / "none"), vip_address="192.0.2.1")
    with pytest.raises(HostError, match=r"192\.0\.2\.1 is not an address of this machine"):
        check_machine(config, Layout(config.data_dir))
    assert list(tmp_path.iterdir()) == []
