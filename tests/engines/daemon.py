"""A third-party program in the foreground, with its output in a file, ended by its process id."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path


class Daemon:
    """Use `running`; `log` is all it has printed so far."""

    def __init__(self, command: Sequence[str], log_file: Path, env: dict[str, str] | None = None) -> None:
        self._log_file = log_file
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def assert_runs(self) -> None:
        """Fails with the end of its log when it has ended."""
        assert self._process.poll() is None, self.log[-3000:]

    def stop(self, patience_s: float = 10.0) -> None:
        """SIGTERM, and SIGKILL when that is not heeded; waits for the end."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str], log_file: Path, *, env: dict[str, str] | None = None
) -> AsyncIterator[Daemon]:
    """Runs it while the block runs. Does not wait until it serves."""
    daemon = Daemon(command, log_file, env)
    try:
        yield daemon
    finally:
        await asyncio.to_thread(daemon.stop)
