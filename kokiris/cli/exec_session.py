"""A command in a task: standard streams over the exec websocket, with a real terminal when asked."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import tty as terminal
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import Close
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from kokiris.cli.client import ApiError, Endpoint, connect, step_after
from kokiris.kernel.errors import BadInput, KokirisError, Unavailable

HEARTBEAT_S = 10.0
POLICY_VIOLATION, SERVER_FAULT = 1008, 500
"""The close code of a refusal, and the status that a broken session amounts to."""
CHUNK_BYTES = 32 * 1024


def run_session(endpoint: Endpoint, alloc_id: str, task: str, command: list[str], *, tty: bool, escape: str) -> int:
    """The command's exit code. Raises ApiError when it cannot be started, Unavailable when the connection breaks."""
    with _open(endpoint, alloc_id, task, command, tty=tty) as websocket, _raw_terminal(tty):
        if tty:
            _send_size(websocket)
            signal.signal(signal.SIGWINCH, lambda *_: _send_size(websocket))
        threading.Thread(target=_pump_input, args=(websocket, escape if tty else ""), daemon=True).start()
        stop = threading.Event()
        threading.Thread(target=_heartbeat, args=(websocket, stop), daemon=True).start()
        try:
            return _receive(websocket)
        finally:
            stop.set()


def _open(endpoint: Endpoint, alloc_id: str, task: str, command: list[str], *, tty: bool) -> ClientConnection:
    parts = urlsplit(endpoint.address)
    query = {"command": msgspec.json.encode(command).decode(), "task": task, "tty": str(tty).lower()}
    scheme = "wss" if parts.scheme == "https" else "ws"
    url = f"{scheme}://{parts.netloc}/v1/client/allocation/{alloc_id}/exec?{urlencode(query)}"
    try:
        return connect_websocket(
            url,
            sock=connect(endpoint, 10.0),
            ssl=endpoint.tls_context() if scheme == "wss" else None,
            additional_headers={"X-Nomad-Token": endpoint.token} if endpoint.token else None,
            max_size=None,
            compression=None,
        )
    except InvalidStatus as error:
        body = (error.response.body or b"").decode(errors="replace")
        raise ApiError(error.response.status_code, body) from error
    except (OSError, WebSocketException) as error:
        raise Unavailable(f"{endpoint.address} does not answer: {error}") from error


def _receive(websocket: ClientConnection) -> int:
    while True:
        try:
            frame = msgspec.json.decode(websocket.recv())
        except ConnectionClosed as error:
            raise refusal(error.rcvd) from error
        for name, stream in (("stdout", sys.stdout.buffer), ("stderr", sys.stderr.buffer)):
            data = (frame.get(name) or {}).get("data")
            if data:
                stream.write(base64.b64decode(data))
                stream.flush()
        if frame.get("exited"):
            return int((frame.get("result") or {}).get("exit_code") or 0)


def refusal(close: Close | None) -> KokirisError:
    """Why a session ended before its command did: what was asked cannot be, or something broke. Pure."""
    if close is not None and close.code == POLICY_VIOLATION:
        return BadInput(
            f"the command was not started: {close.reason}",
            next_step="`kokiris alloc status ALLOC` shows the tasks and their states.",
        )
    reason = close.reason if close is not None and close.reason else "connection lost"
    return Unavailable(f"the session ended before the command did: {reason}", next_step=step_after(SERVER_FAULT))


def _send(websocket: ClientConnection, frame: dict[str, Any]) -> bool:
    try:
        websocket.send(msgspec.json.encode(frame).decode())
    except (ConnectionClosed, OSError):
        return False
    return True


def _pump_input(websocket: ClientConnection, escape: str) -> None:
    """Standard input to the task; `<escape>.` at the start of a line ends the session, as with ssh."""
    at_line_start, armed = True, False
    while data := os.read(sys.stdin.fileno(), CHUNK_BYTES):
        if escape and len(data) == 1:
            typed = data.decode(errors="replace")
            if armed and typed == ".":
                websocket.close()
                return
            armed = at_line_start and typed == escape
            at_line_start = typed in "\r\n"
            if armed:
                continue
        if not _send(websocket, {"stdin": {"data": base64.b64encode(data).decode()}}):
            return
    _send(websocket, {"stdin": {"close": True}})


def _heartbeat(websocket: ClientConnection, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        if not _send(websocket, {}):
            return


def _send_size(websocket: ClientConnection) -> None:
    size = shutil.get_terminal_size()
    _send(websocket, {"tty_size": {"height": size.lines, "width": size.columns}})


@contextlib.contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """Keys go to the task as they are typed; the terminal is put back whatever happens."""
    if not wanted or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    terminal.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
