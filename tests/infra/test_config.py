"""A node's configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokiris.infra.config import (
    AddOnsConfig,
    Config,
    LogsConfig,
    Ports,
    RegistryConfig,
    keep_operators_lines,
    load,
)
from kokiris.kernel.errors import BadInput


def test_up_leaves_what_the_operator_wrote(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        'client = "demo"\ninfra = "rec1"\ndata_dir = "/x"\n[logs]\nretention_days = 30\n'
        '[addons.images]\nregistry = "r.x/registry:2"\n[registry]\nserver = "r.y"\n'
    )
    again = Config(client="demo", infra="rec1", data_dir="/x")
    keep_operators_lines(again, load(path))
    assert again.logs == LogsConfig(retention_days=30)
    assert again.addons == AddOnsConfig(images={"registry": "r.x/registry:2"})
    assert again.registry == RegistryConfig(server="r.y")


def test_the_registry_as_it_stands_in_image_names() -> None:
    config = Config(client="demo", infra="rec1", domain="x.org", data_dir="/x")
    assert config.registry_server == "registry.demo.x.org"
    config.ports = Ports(https=8443)
    assert config.registry_server == "registry.demo.x.org:8443"
    config.registry = RegistryConfig(server="registry.demo.y.org")
    assert config.registry_server == "registry.demo.y.org"


def test_names_that_another_infra_of_the_client_holds_are_left_to_it() -> None:
    config = Config(client="demo", infra="rec2", domain="x.org", data_dir="/x")
    assert config.own_hosts() == list(config.addresses.hosts())
    config.registry = RegistryConfig(server="registry.demo.x.org")
    config.logs = LogsConfig(elasticsearch_url="https://kib.demo.x.org:8443/es")
    assert set(config.addresses.hosts()) - set(config.own_hosts()) == {"registry.demo.x.org", "kib.demo.x.org"}
    config.logs = LogsConfig(elasticsearch_url="http://10.0.0.9:9200")
    assert "kib.demo.x.org" in config.own_hosts()


def test_a_line_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('client = "demo"\ninfra = "rec1"\ndata_dir = "/x"\n[logs]\nretention = 1\n')
    with pytest.raises(BadInput, match=r"config\.toml.*retention"):
        load(path)
