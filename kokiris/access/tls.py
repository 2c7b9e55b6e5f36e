"""Mutual TLS between the infra's own processes."""

from __future__ import annotations

import ssl

from kokiris.http.tls import TlsFiles
from kokiris.infra.config import Layout


def listener_files(layout: Layout) -> TlsFiles:
    """For a listener that lets in only this infra's nodes."""
    return TlsFiles(cert_file=layout.tls / "node.pem", key_file=layout.tls / "node.key", ca_file=layout.tls / "ca.pem")


def client_context(layout: Layout) -> ssl.SSLContext:
    """For calling such a listener. Certificates are read now: make a new context after a renewal."""
    context = ssl.create_default_context(cafile=str(layout.tls / "ca.pem"))
    context.load_cert_chain(layout.tls / "node.pem", layout.tls / "node.key")
    return context
