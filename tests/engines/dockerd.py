"""A real dockerd for tests: its own socket, data folder and bridge; it touches no iptables rule and no other dockerd.

Published ports are served by docker's own proxy process, so they answer on this machine without NAT rules.
`KOKIRIS_TEST_DOCKER_SOCKET` names a running one to use instead (nothing of it is stopped then).
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

BUSYBOX = "kokiris-test/busybox:1"
"""Debian's busybox-static with its applets as links: `sh`, `httpd`, `nc`, `sleep`, `tail`…"""

REUSE = "KOKIRIS_TEST_DOCKER_SOCKET"


class UnixHTTPConnection(HTTPConnection):
    """HTTP over a unix socket, for the few calls that prepare and clean."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Dockerd:
    """One Docker Engine. `start` returns when it answers and `BUSYBOX` is there."""

    def __init__(self) -> None:
        self.reused = os.environ.get(REUSE, "")
        self.root = Path()
        self.socket = self.reused
        self.bridge = ""
        self.gateway = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises RuntimeError with the end of its log when it does not come up."""
        if not self.reused:
            self.root = Path(tempfile.mkdtemp(prefix="kkd", dir="/tmp"))
            self.socket = str(self.root / "docker.sock")
            self._add_bridge()
            self.launch()
        else:
            networks = json.loads(self.call("GET", "/v1.41/networks/bridge")[1])
            self.gateway = networks["IPAM"]["Config"][0]["Gateway"]
        if not self.has_image(BUSYBOX):
            self.import_image(BUSYBOX, busybox_tar())

    def launch(self) -> None:
        """Starts the process (again, after `kill`) on the same data."""
        log_file = (self.root / "dockerd.log").open("ab")
        self._process = subprocess.Popen(
            [
                "dockerd", "--host", f"unix://{self.socket}",
                "--data-root", str(self.root / "data"), "--exec-root", str(self.root / "exec"),
                "--pidfile", str(self.root / "pid"), "--bridge", self.bridge,
                "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false",
                "--userland-proxy=true", "--live-restore", "--storage-driver", "overlay2", "--log-level", "warn",
            ],
            stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file, start_new_session=True,
        )  # fmt: skip
        log_file.close()
        deadline = time.monotonic() + 90
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (self.root / "dockerd.log").read_text()[-3000:]
                self.stop()
                raise RuntimeError(f"dockerd did not come up:\n{tail}")
            time.sleep(0.05)

    def kill(self) -> None:
        """`kill -9` of dockerd itself; containers live on (live-restore)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            # its containerd dies with it; where init reaps late, dockerd would take the zombie for a running one
            (self.root / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Removes its containers, ends the process, unmounts and deletes. Idempotent; leaves a reused one alone."""
        if self.reused or self._process is None:
            return
        if self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self.remove_containers({})
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        self._end_leftovers()
        self._unmount()
        shutil.rmtree(self.root, ignore_errors=True)
        subprocess.run(["ip", "link", "del", self.bridge], check=False, capture_output=True)

    def answers(self) -> bool:
        """Whether the API answers."""
        try:
            return self.call("GET", "/_ping")[0] == 200
        except (OSError, RuntimeError):
            return False

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """(status, body) of one API call; `body` bytes as they are, anything else as JSON."""
        connection = UnixHTTPConnection(self.socket)
        try:
            raw = body if isinstance(body, bytes | io.BufferedIOBase) else json.dumps(body).encode() if body else None
            kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
            connection.request(method, path, raw, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def containers(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        """All containers, running or not, that carry `labels`."""
        filters = quote(json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]}))
        found: list[dict[str, Any]] = json.loads(self.call("GET", f"/v1.41/containers/json?all=1&filters={filters}")[1])
        return found

    def inspect(self, container_id: str) -> dict[str, Any]:
        """`docker inspect`."""
        found: dict[str, Any] = json.loads(self.call("GET", f"/v1.41/containers/{container_id}/json")[1])
        return found

    def remove_containers(self, labels: dict[str, str]) -> None:
        """Kills and removes those that carry `labels` (all of them for {}: only on a dockerd of our own)."""
        for container in self.containers(labels):
            self.call("DELETE", f"/v1.41/containers/{container['Id']}?force=1&v=1")

    def has_image(self, reference: str) -> bool:
        """Whether it is there."""
        return self.call("GET", f"/v1.41/images/{reference}/json")[0] == 200

    def import_image(self, reference: str, tar: bytes, changes: tuple[str, ...] = ()) -> None:
        """As `docker import`: one layer from a tar."""
        repository, _, tag = reference.rpartition(":")
        query = f"fromSrc=-&repo={quote(repository)}&tag={tag}" + "".join(f"&changes={quote(one)}" for one in changes)
        status, answer = self.call("POST", f"/v1.41/images/create?{query}", tar)
        if status != 200 or b'"error"' in answer:
            raise RuntimeError(f"import of {reference} failed: {status} {answer[:500]!r}")

    def build(self, reference: str, dockerfile: str) -> None:
        """As `docker build` with nothing but a Dockerfile."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            _add(tar, "Dockerfile", dockerfile.encode(), 0o644)
        status, answer = self.call("POST", f"/v1.41/build?t={quote(reference)}&rm=1", packed.getvalue())
        if status != 200 or b'"error"' in answer:
            raise RuntimeError(f"build of {reference} failed: {status} {answer[-500:]!r}")

    def _add_bridge(self) -> None:
        for number in range(os.getpid() % 200, 256):
            self.gateway = f"10.207.{number}.1"
            self.bridge = f"kktest{number}"
            if number_is_free(self.gateway) and self._ip("link", "add", self.bridge, "type", "bridge"):
                self._ip("addr", "add", f"{self.gateway}/24", "dev", self.bridge)
                self._ip("link", "set", self.bridge, "up")
                return
        raise RuntimeError("no free subnet in 10.207.0.0/16 for a test bridge")

    @staticmethod
    def _ip(*args: str) -> bool:
        return subprocess.run(["ip", *args], check=False, capture_output=True).returncode == 0

    def _end_leftovers(self) -> None:
        """containerd and shims of this very exec root, by pid (dockerd normally ends them itself)."""
        mark = str(self.root / "exec").encode()
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in (process / "cmdline").read_bytes():
                        self._kill_children(int(process.name))
                        os.kill(int(process.name), signal.SIGKILL)

    @staticmethod
    def _kill_children(parent: int) -> None:
        """A shim's child is its container's first process: all others of the container die with it."""
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)

    def _unmount(self) -> None:
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{self.root}/")), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)


def number_is_free(address: str) -> bool:
    """Whether no interface of this machine has a network that holds `address`."""
    shown = subprocess.run(["ip", "-o", "-4", "addr"], check=True, capture_output=True, text=True).stdout
    networks = [ipaddress.ip_interface(line.split()[3]).network for line in shown.splitlines()]
    return not any(ipaddress.ip_address(address) in network for network in networks)


def busybox_tar(extra: dict[str, bytes] | None = None) -> bytes:
    """A root file system: static busybox, a link per applet, /tmp, and `extra` files (path → content)."""
    applets = subprocess.run(["busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("www", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add(tar, "bin/busybox", Path(shutil.which("busybox") or "/bin/busybox").read_bytes(), 0o755)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644)
        _add(tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        for path, content in (extra or {}).items():
            _add(tar, path, content, 0o644)
    return packed.getvalue()


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
