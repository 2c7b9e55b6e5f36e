"""The certificate with which this node's processes speak to the infra's other processes."""

from __future__ import annotations

from kokiris.access.authority import KeyPair, due, issue, new_key_and_request, utc_now
from kokiris.infra.config import Config, Layout
from kokiris.kernel.files import write_atomic, write_secret


def node_names(config: Config) -> list[str]:
    """What the certificate must carry: how other processes dial this node."""
    names = [config.node_name, "localhost", "127.0.0.1"]
    for address in (config.bind_address, config.advertise_address):
        if address and address not in names and address != "0.0.0.0":
            names.append(address)
    return names


def renew(config: Config, layout: Layout) -> bool:
    """Makes or renews the certificate if it is due; True when it did. Needs the authority's key on this node."""
    certificate = layout.tls / "node.pem"
    names = node_names(config)
    if certificate.exists() and not due(certificate.read_bytes(), utc_now(), names):
        return False
    key_pem, request_pem = new_key_and_request(names)
    authority = KeyPair((layout.tls / "ca.key").read_bytes(), (layout.tls / "ca.pem").read_bytes())
    certificate_pem = issue(authority, request_pem, names, utc_now())
    write_secret(layout.tls / "node.key", key_pem)
    write_atomic(certificate, certificate_pem)
    return True
