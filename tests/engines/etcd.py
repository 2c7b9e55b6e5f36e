"""Real etcd, with TLS, on ephemeral ports of loopback; one member or several."""

from __future__ import annotations

import http.client
import shutil
import signal
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines.certificates import TestCertificates, make_certificates
from tests.engines.ports import free_ports

START_DEADLINE_S = 60.0


@dataclass
class EtcdMember:
    """One etcd process and how to start it again."""

    name: str
    client_port: int
    arguments: list[str]
    log_file: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    def start(self) -> None:
        """Starts the process; does not wait."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self.arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None


@dataclass
class Etcd:
    """A cluster. Use `start_etcd`, end with `close`."""

    folder: Path
    certificates: TestCertificates
    members: list[EtcdMember] = field(default_factory=list)

    @property
    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.members]

    @property
    def tls(self) -> tuple[Path, Path, Path]:
        return self.certificates.paths

    def wait_healthy(self) -> None:
        """Returns once every member serves. Raises TimeoutError with the end of its log."""
        for member in self.members:
            deadline = time.monotonic() + START_DEADLINE_S
            while not self._healthy(member):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{member.name}: {member.log_file.read_text()[-2000:]}")
                time.sleep(0.05)

    def ctl(self, *arguments: str) -> str:
        """Runs etcdctl against the first member and returns what it prints."""
        ca, certificate, key = self.tls
        command = [
            "etcdctl",
            f"--endpoints={self.endpoints[0]}",
            f"--cacert={ca}",
            f"--cert={certificate}",
            f"--key={key}",
        ]
        done = subprocess.run(
            [*command, *arguments], env={"ETCDCTL_API": "3"}, capture_output=True, check=True, timeout=60
        )
        return done.stdout.decode()

    def close(self) -> None:
        """Kills every member (also a stopped one) and removes the data."""
        for member in self.members:
            member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _healthy(self, member: EtcdMember) -> bool:
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        context.load_cert_chain(self.certificates.certificate, self.certificates.key)
        connection = http.client.HTTPSConnection("127.0.0.1", member.client_port, timeout=2, context=context)
        try:
            connection.request("GET", "/health")
            return b'"true"' in connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()


def start_etcd(folder: Path, count: int = 1) -> Etcd:
    """Starts a cluster of `count` members with data in `folder` and waits until it serves."""
    cluster = Etcd(folder, make_certificates(folder / "tls"))
    ports = free_ports(2 * count)
    ca, certificate, key = cluster.tls
    peers = ",".join(f"m{index}=https://127.0.0.1:{ports[count + index]}" for index in range(count))
    for index in range(count):
        name, client = f"m{index}", f"https://127.0.0.1:{ports[index]}"
        peer = f"https://127.0.0.1:{ports[count + index]}"
        options = {
            "name": name,
            "data-dir": str(folder / name),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": peers,
            "client-cert-auth": "true",
            "trusted-ca-file": str(ca),
            "cert-file": str(certificate),
            "key-file": str(key),
            "peer-client-cert-auth": "true",
            "peer-trusted-ca-file": str(ca),
            "peer-cert-file": str(certificate),
            "peer-key-file": str(key),
            "max-txn-ops": "5000",
            "max-request-bytes": "33554432",
            "log-level": "warn",
        }
        arguments = ["etcd", *(f"--{option}={value}" for option, value in options.items())]
        cluster.members.append(EtcdMember(name, ports[index], arguments, folder / f"{name}.log"))
    try:
        for member in cluster.members:
            member.start()
        cluster.wait_healthy()
    except BaseException:
        cluster.close()
        raise
    return cluster
