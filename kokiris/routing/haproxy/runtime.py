"""HAProxy's runtime API: one persistent connection in prompt mode (a command costs 0.06 ms so, 0.23 ms alone)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from kokiris.kernel.errors import KokirisError

_PROMPT = b"\n> "
_ANSWER_LIMIT_BYTES = 256 * 1024 * 1024
COMMAND_TIMEOUT_S = 30.0
PAYLOAD_BYTES = 8000
"""A command with its payload has to fit HAProxy's buffer (tune.bufsize, 16 kB)."""


class HaproxyAway(KokirisError):
    """HAProxy does not answer on its socket (any more): it stopped, restarts, or reloaded."""

    code = "haproxy_away"
    http_status = 503
    default_next_step = "The agent restarts HAProxy; see haproxy.log under the infra's data folder."


class RuntimeApi:
    """Commands to one worker, from one task at a time. Every failure closes the connection and raises HaproxyAway."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def connected(self) -> bool:
        return self._writer is not None

    async def connect(self) -> None:
        """Opens the connection. Raises HaproxyAway."""
        await self.close()
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(
                str(self._socket), limit=_ANSWER_LIMIT_BYTES
            )
            self._writer.write(b"prompt\n")
            await asyncio.wait_for(self._reader.readuntil(_PROMPT), COMMAND_TIMEOUT_S)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            await self.close()
            raise HaproxyAway(f"HAProxy does not answer on {self._socket}: {error or type(error).__name__}") from error

    async def close(self) -> None:
        """Idempotent."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def command(self, text: str) -> str:
        """The answer to one command (which may carry a payload: `add map … <<\\n…\\n`)."""
        return (await self.commands([text]))[0]

    async def commands(self, texts: Sequence[str]) -> list[str]:
        """Sends all at once and returns the answers in order. Raises HaproxyAway if any of them got none."""
        if self._reader is None or self._writer is None:
            raise HaproxyAway(f"not connected to {self._socket}")
        try:
            self._writer.write("".join(f"{text}\n" for text in texts).encode())
            return [await self._answer(self._reader) for _ in texts]
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            await self.close()
            raise HaproxyAway(f"HAProxy went away on {self._socket}: {error or type(error).__name__}") from error
        except asyncio.CancelledError:
            await self.close()  # an answer left unread would be taken for the next one's
            raise

    async def _answer(self, reader: asyncio.StreamReader) -> str:
        raw = await asyncio.wait_for(reader.readuntil(_PROMPT), COMMAND_TIMEOUT_S)
        return raw[: -len(_PROMPT)].decode("utf-8", "replace").lstrip("+ ").strip()


def word(text: str) -> str:
    """`text` as one argument of a command."""
    return "".join(f"\\{letter}" if letter in " ;\\<\t" else letter for letter in text)


def with_payloads(command: str, lines: Sequence[str]) -> list[str]:
    """`command` with `lines` as its payload, in as many commands as HAProxy's buffer asks for."""
    commands: list[str] = []
    chunk: list[str] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) > PAYLOAD_BYTES:
            commands.append(f"{command} <<\n" + "\n".join(chunk) + "\n")
            chunk, size = [], 0
        chunk.append(line)
        size += len(line.encode()) + 1
    if chunk:
        commands.append(f"{command} <<\n" + "\n".join(chunk) + "\n")
    return commands


async def ask_master(socket: Path, command: str) -> str:
    """One command to the master process. Raises HaproxyAway."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            writer.write(f"{command}\n".encode())
            writer.write_eof()  # without it `show proc` hangs on the master's socket
            return (await asyncio.wait_for(reader.read(), COMMAND_TIMEOUT_S)).decode("utf-8", "replace")
        finally:
            writer.close()
    except (OSError, TimeoutError) as error:
        raise HaproxyAway(f"HAProxy's master does not answer on {socket}: {error}") from error
