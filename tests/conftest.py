"""Fixtures shared by all tests. Keep it small: what one folder needs belongs into that folder's conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.engines.etcd import Etcd, start_etcd

# A machine that stalls for a moment (hypothesis' usual deadline is 200 ms an example) says nothing about the code.
settings.register_profile("busy machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """One etcd member with TLS for the whole run. It is shared: use keys of your own."""
    cluster = start_etcd(tmp_path_factory.mktemp("etcd"))
    yield cluster
    cluster.close()
