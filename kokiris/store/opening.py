"""From configuration to a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kokiris.kernel.errors import BadInput
from kokiris.store.contract import Store

TlsPaths = tuple[Path, Path, Path]
"""CA certificate, own certificate, own key (PEM files)."""


async def open_store(kind: str, *, path: Path, endpoints: Sequence[str] = (), tls: TlsPaths | None = None) -> Store:
    """Opens the store of `kind`: "sqlite" (a folder at `path`, created if absent) or "etcd" (at `endpoints`).

    Raises BadInput for another kind or no endpoints, HostError when the folder cannot be used, StoreError when etcd
    does not answer. `tls` None: etcd is spoken to in clear, for tests only.
    """
    if kind == "sqlite":
        from kokiris.store.sqlite.store import SqliteStore  # noqa: PLC0415 - only what is used is loaded

        return await SqliteStore.open(path)
    if kind == "etcd":
        if not endpoints:
            raise BadInput("store etcd has no endpoints", next_step="Set `endpoints` in the configuration's [store].")
        from kokiris.store.etcd.store import EtcdStore  # noqa: PLC0415 - grpc costs 20 MB of memory

        return await EtcdStore.open(endpoints, tls=tls)
    raise BadInput(f'store kind "{kind}" does not exist', next_step='Use "sqlite" or "etcd".')
