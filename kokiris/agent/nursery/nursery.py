"""Serving births. One thread and no event loop, so that nothing is half done when it forks."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import logging
import os
import selectors
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from setproctitle import setproctitle, setthreadtitle

from kokiris.agent.nursery.protocol import MAX_DESCRIPTORS, PACKET_BYTES, Answer, Birth, Ended
from kokiris.agent.processes import PidRecord, read_pid, start_time_of
from kokiris.kernel.errors import HostError
from kokiris.kernel.files import write_atomic

log = logging.getLogger("kokiris.agent.nursery")


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was forked and has done nothing yet: what it is to become."""

    birth: Birth
    go: int
    """Read end of a pipe: a byte once the pid file is written, its end when that failed or the nursery is no more."""
    log_file: int
    descriptors: Sequence[int]

    def settle(self) -> None:
        """Takes its name, session, log file and descriptors. Does not return unless it has been recorded."""
        # First the name: until then its environment shows the nursery's own mark (see processes.MARK), which must not
        # be found on a leader of a session.
        setproctitle(" ".join(self.birth.argv))
        setthreadtitle("python")
        os.setsid()
        if not os.read(self.go, 1):
            os._exit(1)
        os.close(self.go)
        for number in (1, 2):
            os.dup2(self.log_file, number)
        os.close(self.log_file)
        _at_numbers(self.descriptors, self.birth.descriptors)


def _at_numbers(descriptors: Sequence[int], wanted: Sequence[int]) -> None:
    """Moves each out of the way of all wanted numbers first. Programs that the child runs do not inherit them."""
    aside = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, max(wanted) + 1) for one in descriptors]
    for one in descriptors:
        os.close(one)
    for one, number in zip(aside, wanted, strict=True):
        os.dup2(one, number, inheritable=False)
        os.close(one)


class OutdatedError(Exception):
    """What the nursery has loaded is no longer what lies on disk."""


def code_on_disk() -> str:
    """Another text whenever a file that was imported has been replaced, changed or removed."""
    digest = hashlib.sha256()
    for file in sorted({file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}):
        digest.update(file.encode())
        with contextlib.suppress(OSError):
            found = os.stat(file)  # noqa: PTH116 - a thousand of them before each fork
            digest.update(f"{found.st_mtime_ns} {found.st_size} {found.st_ino}".encode())
    return digest.hexdigest()


class Nursery:
    """Serves a listening socket (SOCK_SEQPACKET). Children outlive it; it reaps those that end before it does."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.PollSelector()  # without a descriptor of its own, which children would share
        self._connections: set[socket.socket] = set()
        self._pidfds: set[int] = set()
        self._code = code_on_disk()
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def serve(self) -> Child:
        """Returns in each child, never in the nursery. Raises OutdatedError there."""
        while True:
            for key, _ in self._selector.select():
                act: Callable[[], Child | None] = key.data
                child = act()
                if child is not None:
                    return child

    def close(self) -> None:
        """Closes its descriptors; in a child they are copies."""
        self._listener.close()
        for connection in self._connections:
            connection.close()
        for pidfd in self._pidfds:
            os.close(pidfd)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._connections.add(connection)
            self._selector.register(connection, selectors.EVENT_READ, functools.partial(self._asked, connection))

    def _asked(self, connection: socket.socket) -> Child | None:
        """Answers one request; its connection then stays until the child has ended."""
        self._selector.unregister(connection)
        descriptors: list[int] = []
        child = None
        try:
            raw, descriptors, flags, _ = socket.recv_fds(
                connection, PACKET_BYTES, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
            if raw:
                child = self._bear(_checked(raw, descriptors, flags), descriptors, connection)
            else:
                self._leave(connection)
        except (HostError, OSError) as error:
            refusal = error.message if isinstance(error, HostError) else str(error)
            log.error("refused: %s", refusal)
            self._tell(connection, Answer(refusal=refusal))
            self._leave(connection)
        if child is None:
            for one in descriptors:
                os.close(one)
        return child

    def _bear(self, birth: Birth, descriptors: Sequence[int], connection: socket.socket) -> Child | None:
        """Forks, unless the process that is asked for runs: whoever asked for it may have died before the answer."""
        present = read_pid(Path(birth.pid_file))
        if present is not None:
            if present.fingerprint != birth.fingerprint:
                raise HostError(f"process {present.pid} of another configuration still runs")
            self._tell(connection, Answer(child=present, ran_already=True))
            self._leave(connection)
            return None
        if self._code != code_on_disk():
            raise OutdatedError
        log_file = _open_log(Path(birth.log_file))
        go, let_go = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(let_go)
            return Child(birth, go, log_file, descriptors)
        os.close(go)
        os.close(log_file)
        self._watch(pid, birth, connection)
        record = PidRecord(pid=pid, start_time=start_time_of(pid) or 0, fingerprint=birth.fingerprint)
        try:
            write_atomic(Path(birth.pid_file), msgspec.json.encode(record))
            with contextlib.suppress(BrokenPipeError):  # killed already: its end is told as any other
                os.write(let_go, b"1")
        finally:
            os.close(let_go)
        log.info("%s runs as %d", _title(birth), pid)
        self._tell(connection, Answer(child=record))
        return None

    def _watch(self, pid: int, birth: Birth, connection: socket.socket) -> None:
        pidfd = os.pidfd_open(pid)
        self._pidfds.add(pidfd)
        self._selector.register(
            pidfd, selectors.EVENT_READ, functools.partial(self._on_end, pidfd, pid, birth, connection)
        )

    def _on_end(self, pidfd: int, pid: int, birth: Birth, connection: socket.socket) -> None:
        self._selector.unregister(pidfd)
        self._pidfds.remove(pidfd)
        os.close(pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        log.info("%s (%d) ended with code %d", _title(birth), pid, code)
        self._tell(connection, Ended(code=code))
        self._leave(connection)

    def _tell(self, connection: socket.socket, message: Answer | Ended) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            connection.send(msgspec.json.encode(message))

    def _leave(self, connection: socket.socket) -> None:
        self._connections.discard(connection)
        connection.close()


def _title(birth: Birth) -> str:
    return " ".join(birth.argv[2:4])


def _open_log(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _checked(raw: bytes, descriptors: Sequence[int], flags: int) -> Birth:
    """Raises HostError for what is no request, or one that this nursery cannot fulfil."""
    try:
        birth = msgspec.json.decode(raw, type=Birth)
    except msgspec.MsgspecError as error:
        raise HostError(f"not a request: {error}") from error
    if birth.argv[:2] != [sys.executable, "-m"] or len(birth.argv) < 3:
        raise HostError(f"this nursery runs modules with {sys.executable}, not {birth.argv[:3]}")
    if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) or len(descriptors) != len(birth.descriptors):
        raise HostError(f"{len(descriptors)} descriptors came for the numbers {birth.descriptors}")
    if min(birth.descriptors, default=3) < 3:
        raise HostError(f"descriptors 0 to 2 are the child's own, not to be passed: {birth.descriptors}")
    return birth
