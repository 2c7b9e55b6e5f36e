"""The node's certificate is renewed in time, and servers that run take the new one without a restart."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from kokiris.access.authority import KeyPair, due, expires, issue, new_authority, new_key_and_request, utc_now
from kokiris.access.node_certificate import node_names, renew
from kokiris.access.tls import client_context, listener_files
from kokiris.http.app import asgi, make_app
from kokiris.http.serve import HttpServer
from kokiris.infra.config import Config, Layout
from kokiris.kernel.files import write_atomic, write_secret


@pytest.fixture
def node(tmp_path: Path) -> tuple[Config, Layout]:
    config, layout = Config(client="demo", infra="rec1", data_dir=str(tmp_path)), Layout(tmp_path)
    authority = new_authority("test", utc_now() - timedelta(days=100))
    write_secret(layout.tls / "ca.key", authority.key_pem)
    write_atomic(layout.tls / "ca.pem", authority.certificate_pem)
    return config, layout


def age(config: Config, layout: Layout, days: int) -> None:
    """Replaces the certificate by one that was made `days` ago."""
    authority = KeyPair((layout.tls / "ca.key").read_bytes(), (layout.tls / "ca.pem").read_bytes())
    key_pem, request = new_key_and_request(node_names(config))
    write_secret(layout.tls / "node.key", key_pem)
    write_atomic(
        layout.tls / "node.pem", issue(authority, request, node_names(config), utc_now() - timedelta(days=days))
    )


def test_it_is_made_once_and_renewed_when_due(node: tuple[Config, Layout]) -> None:
    config, layout = node
    assert renew(config, layout)
    assert not renew(config, layout)
    age(config, layout, 10)
    assert not renew(config, layout)
    age(config, layout, 21)
    before = expires((layout.tls / "node.pem").read_bytes())
    assert renew(config, layout)
    assert expires((layout.tls / "node.pem").read_bytes()) > before
    assert not due((layout.tls / "node.pem").read_bytes(), utc_now(), node_names(config))
    assert (layout.tls / "node.key").stat().st_mode & 0o077 == 0


def test_another_address_makes_another_certificate(node: tuple[Config, Layout]) -> None:
    config, layout = node
    renew(config, layout)
    config.advertise_address = "10.1.2.3"
    assert renew(config, layout)
    assert not renew(config, layout)


async def test_a_running_listener_takes_the_new_certificate(node: tuple[Config, Layout]) -> None:
    config, layout = node
    age(config, layout, 21)
    server = HttpServer(asgi(make_app()), tls=listener_files(layout))
    await server.start()
    try:
        old = await asyncio.to_thread(serial, layout, server.port)
        assert renew(config, layout)
        server.reload_certificate()
        assert await asyncio.to_thread(serial, layout, server.port) != old
    finally:
        await server.stop()


def serial(layout: Layout, port: int) -> str:
    """Of the certificate that the listener shows."""
    with (
        socket.create_connection(("127.0.0.1", port), 10) as raw,
        client_context(layout).wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        certificate = connection.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])


async def test_a_peer_without_a_certificate_is_not_let_in(node: tuple[Config, Layout]) -> None:
    config, layout = node
    renew(config, layout)
    server = HttpServer(asgi(make_app()), tls=listener_files(layout))
    await server.start()
    try:
        context = ssl.create_default_context(cafile=str(layout.tls / "ca.pem"))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(ask, context, server.port)
    finally:
        await server.stop()


def ask(context: ssl.SSLContext, port: int) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), 10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.recv(100)
        if not answer:
            raise ConnectionError("closed without an answer")
        return answer
