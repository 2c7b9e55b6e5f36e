"""A log search of its own for each test: index, API on a loopback port, made-up tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engines.logs import LogServer, serve_logs


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LogServer]:
    async with serve_logs(tmp_path / "index") as running:
        yield running
