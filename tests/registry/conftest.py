"""One dockerd for the run; a registry with its doors per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.engines.dockerd import Dockerd
from tests.registry.bed import Bed, open_bed


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """Shared by the folder's tests."""
    engine = Dockerd()
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()


@pytest.fixture
async def bed(tmp_path: Path, dockerd: Dockerd) -> AsyncIterator[Bed]:
    """Up and empty."""
    async with open_bed(tmp_path, dockerd) as opened:
        yield opened
