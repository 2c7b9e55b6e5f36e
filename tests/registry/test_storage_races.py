"""What is stored, read while the registry works on it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from kokiris.registry.storage import read_storage, repository_path


def test_uploads_that_end_while_they_are_read_are_left_out(tmp_path: Path) -> None:
    uploads = repository_path(tmp_path, "a/b") / "_uploads"
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(20):
                (uploads / f"u{number}").mkdir(parents=True)
                (uploads / f"u{number}" / "data").touch()
            shutil.rmtree(uploads)

    registry = threading.Thread(target=come_and_go)
    registry.start()
    try:
        for _ in range(400):
            found = read_storage(tmp_path).repositories.get("a/b")
            assert found is None or found.uploads.keys() == found.upload_bytes.keys()
    finally:
        stop.set()
        registry.join()
