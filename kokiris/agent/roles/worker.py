"""The worker role: runs this node's allocations."""

from __future__ import annotations

import asyncio

from kokiris.access.tls import client_context, listener_files
from kokiris.infra.config import Config, Layout
from kokiris.registry.layout import trust_registry
from kokiris.worker.worker import Worker


async def run(config: Config, layout: Layout, stop: asyncio.Event) -> None:
    """Until `stop` is set; an orderly stop leaves containers running. Raises KokirisError when it cannot start."""
    trust_registry(config, layout)
    await Worker(config, layout, lambda: client_context(layout), listener_files(layout)).run(stop)
