"""Every test of the contract runs on each store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kokiris.store.contract import Store
from tests.contract.store.harness import Harness


@pytest_asyncio.fixture(params=["sqlite", "etcd"])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    made = Harness(request.param, tmp_path, request.getfixturevalue("etcd") if request.param == "etcd" else None)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def store(harness: Harness) -> Store:
    return await harness.open()
