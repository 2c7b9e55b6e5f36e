"""kill -9 of MariaDB under writes: no committed row is lost."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.mariadb import MariaDbServer


@pytest.fixture
def server() -> Iterator[MariaDbServer]:
    folder = Path(tempfile.mkdtemp(prefix="kkdb"))
    server = MariaDbServer(folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_no_committed_row_is_lost(server):
    server.ask("CREATE DATABASE k; CREATE TABLE k.t (n INT PRIMARY KEY);")
    acknowledged = -1
    for number in range(3):
        first = acknowledged + 1
        writer = subprocess.Popen(
            ["mariadb", f"--defaults-file={server.client_file}", "--batch", "--unbuffered", "--skip-column-names", "k"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        for n in range(first, first + 100_000):
            try:
                writer.stdin.write(f"INSERT INTO t VALUES ({n}); SELECT {n};\n")  # noqa: S608 - a number
                writer.stdin.flush()
            except BrokenPipeError:
                break
            line = writer.stdout.readline()  # the commit before it was acknowledged
            if not line:
                break
            acknowledged = int(line)
            if acknowledged == first + 200 + 50 * number:
                server.kill()
        writer.stdin = None
        writer.kill()
        writer.wait()
        server.start()
        found = {int(one) for one in server.ask("SELECT n FROM k.t;").stdout.split()}
        assert set(range(acknowledged + 1)) <= found
        acknowledged = max(found)
