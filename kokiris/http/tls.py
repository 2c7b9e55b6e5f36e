"""The files of a mutual-TLS listener. Apart from `serve`, so that a client need not load a web server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a mutual-TLS listener: only peers with a certificate of `ca_file` are let in."""

    cert_file: Path
    key_file: Path
    ca_file: Path
