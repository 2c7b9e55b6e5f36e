"""Ending sessions for good: locks first delayed, then released."""

from __future__ import annotations

from kokiris.discovery import locks
from kokiris.discovery.writer import CatalogWriter, Change


async def end_session(writer: CatalogWriter, session_id: str) -> None:
    """Ends the session and releases what it holds; its keys stay unlockable for its LockDelay. Idempotent.

    The delay is written first: if this process dies in between, the locks are merely kept a little longer.
    """
    delay_s, held = locks.delayed_keys(writer.catalog, session_id)
    if held and delay_s > 0:
        lease = await writer.lease(delay_s)

        def delay() -> Change[None]:
            return Change(None, puts={writer.keys.lock_delay(name): b"" for name in held})

        await writer.change(delay, lease=lease)
    await writer.change(lambda: locks.end_session(writer.catalog, writer.keys, session_id))
