"""One infra per store, shared by all scenarios: bringing it up is the slow part."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.scenarios.infra import Infra, run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each scenario runs on both stores, but those of a module that names its own: what they show lies above it."""
    if "infra" in metafunc.fixturenames:
        stores = getattr(metafunc.module, "STORES", ("sqlite", "etcd"))
        metafunc.parametrize("infra", stores, indirect=True, scope="session")


@pytest.fixture(scope="session")
def infra(request: pytest.FixtureRequest) -> Iterator[Infra]:
    """`make up` on a bare machine; afterwards `make down PURGE=1`."""
    if "KOKIRIS_SCRATCH" not in os.environ:
        pytest.fail("scenarios need a machine of their own: run `make test`, or scripts/isolated.sh .venv/bin/pytest …")
    up = Infra.bring_up(request.param)
    yield up
    run(["make", "down", "PURGE=1"])
    rules = run(["iptables-save"]).stdout
    assert "docker0" not in rules, "no rule of our bridge is left"
    assert "KOKIRIS" not in rules, "nor a chain of ours"
    if run(["pgrep", "-x", "dockerd"], check=False).returncode:  # other tests' dockerd may need the common chains
        assert "DOCKER" not in rules, "the machine forwards packets as it did before"


@pytest.fixture
def job(infra: Infra, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a job of this test's own; it is stopped and purged afterwards."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    yield name
    infra.stop_job(name)
