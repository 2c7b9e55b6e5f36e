"""A real mariadbd on a socket of its own, and its client programs run as ordinary processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from kokiris.kernel.errors import Unavailable

DEADLINE_S = 60.0


class MariaDbServer:
    """`start`, `kill`, `start` again: the data folder stays. Durability as in platform/mariadb.nomad.hcl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s.sock"
        self.client_file = folder / "client.cnf"
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """A data folder whose root has a random password."""
        options = ["--no-defaults", "--user=root", f"--datadir={self.folder / 'data'}"]
        install = ["mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, check=True, capture_output=True)
        password = secrets.token_urlsafe(18)
        self.client_file.write_text(f"[client]\nuser=root\npassword={password}\nsocket={self.socket}\n")
        self.client_file.chmod(0o600)
        statements = f"FLUSH PRIVILEGES;\nALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n"
        boot = ["mariadbd", *options, "--bootstrap"]
        subprocess.run(boot, check=True, capture_output=True, input=statements.encode())

    def start(self) -> None:
        """Returns once it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "mariadbd", "--no-defaults", "--user=root", f"--datadir={self.folder / 'data'}",
                    f"--socket={self.socket}", "--skip-networking", f"--pid-file={self.folder / 'pid'}",
                    "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=16M", "--performance-schema=OFF",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + DEADLINE_S
        while self.ask("SELECT 1").returncode != 0:
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "mariadbd does not answer"
            time.sleep(0.05)

    def ask(self, statements: str, *, user: str = "", password: str = "") -> subprocess.CompletedProcess[str]:
        """The client, as root or as another account."""
        file = self.client_file
        if user:
            file = self.folder / f"client-{user}.cnf"
            file.write_text(f"[client]\nuser={user}\npassword={password}\nsocket={self.socket}\n")
        return subprocess.run(
            ["mariadb", f"--defaults-file={file}", "--batch", "--skip-column-names"],
            input=statements, text=True, capture_output=True, check=False,
        )  # fmt: skip

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Whatever state it is in."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            self.kill()


class _LocalSession:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.exit_code = -1

    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise Unavailable("the command has ended") from error

    async def close_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        said = asyncio.create_task(self._process.stderr.read())
        while data := await self._process.stdout.read(65536):
            yield "stdout", data
        yield "stderr", await said
        self.exit_code = await self._process.wait()


class LocalHost:
    """`databases.host.Host` without a container; remembers the command lines."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    @contextlib.asynccontextmanager
    async def run(self, command: Sequence[str]) -> AsyncIterator[_LocalSession]:
        self.commands.append(list(command))
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": "/nonexistent"},
        )
        try:
            yield _LocalSession(process)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
