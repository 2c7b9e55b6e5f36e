"""A process that writes to a SQLite store and prints what was acknowledged, until it is killed.

Arguments: folder, root (hex), first number. Prints "open <revision>", then "<number> <revision>" per acknowledgement.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from kokiris.store.sqlite.store import SqliteStore

WRITERS = 8


async def main(folder: str, root: str, first: str) -> None:
    store = await SqliteStore.open(Path(folder))
    sys.stdout.write(f"open {(await store.range(b'/none/')).revision}\n")
    sys.stdout.flush()
    numbers = itertools.count(int(first))

    async def write() -> None:
        for number in numbers:
            puts = {bytes.fromhex(root) + b"%d/%s" % (number, half): b"%d" % number for half in (b"a", b"b")}
            result = await store.commit(puts=puts)
            sys.stdout.write(f"{number} {result.revision}\n")
            sys.stdout.flush()

    await asyncio.gather(*(write() for _ in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
