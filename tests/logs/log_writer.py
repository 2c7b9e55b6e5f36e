"""A process that takes entries and says which are acknowledged: `log_writer.py FOLDER`. Killed by the test."""

from __future__ import annotations

import sys
from pathlib import Path

from kokiris.logs.index.log_index import Incoming, LogIndex
from kokiris.logs.index.retention import Limits


def main() -> None:
    index = LogIndex(Path(sys.argv[1]), Limits(min_free_bytes=1), commit_every_s=0.05)
    index.start()
    number = 0
    while True:
        batch = [Incoming({"message": f"entry {number + one}", "n": number + one}) for one in range(20)]
        index.take(batch)
        number += len(batch)
        print(number, flush=True)  # noqa: T201 - this is how the test learns of it


if __name__ == "__main__":
    main()
