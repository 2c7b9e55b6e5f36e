"""What the shell offers while a command is typed."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from click.shell_completion import ShellComplete

from kokiris.cli.main import root

STUBS = {
    "/v1/jobs": [{"ID": "shop"}, {"ID": "shipping"}],
    "/v1/allocations": [{"ID": "4c1d0000-0000", "Name": "shop.web[0]"}, {"ID": "9f000000-0000", "Name": "shop.web[1]"}],
}


class _Lists(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(STUBS[self.path.partition("?")[0]]).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Lists)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NOMAD_ADDR", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


def offered(words: str, typed: str) -> list[str]:
    return [one.value for one in ShellComplete(root, {}, "kokiris", "_X").get_completions(words.split(), typed)]


def test_verbs_flags_and_files() -> None:
    assert "run" in offered("job", "r")
    assert offered("job run", "-ch") == ["-check-index"]
    (file,) = ShellComplete(root, {}, "kokiris", "_X").get_completions(["job", "run"], "./sh")
    assert (file.value, file.type) == ("./sh", "file")


@pytest.mark.usefixtures("lists")
def test_jobs_and_allocations() -> None:
    assert offered("job status", "s") == ["shop", "shipping"]
    assert offered("alloc status", "4") == ["4c1d0000"]
    assert offered("alloc status", "4c1d0000-") == ["4c1d0000-0000"]
    assert offered("alloc exec -job", "s") == ["shop", "shipping"]


def test_silent_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMAD_ADDR", "http://127.0.0.1:1")
    assert offered("job status", "s") == []
