"""The step after an error is one that whoever reads it can take."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from websockets.frames import Close

from kokiris.cli.client import ApiError, Client, Endpoint, step_after
from kokiris.cli.exec_session import refusal
from kokiris.cli.main import main
from kokiris.cli.session import find_by_id
from kokiris.kernel.errors import BadInput, KokirisError, NotFound, Unauthenticated, Unavailable
from kokiris.orchestrator.api.client import Relayed


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers each path with the status it names; with "step" in it, a next step in the header and the last line."""

    def do_GET(self) -> None:
        status = int(self.path.split("/")[1])
        step = "Do that." if "step" in self.path else ""
        self.send_response(status)
        if step:
            self.send_header("X-Kokiris-Next-Step", step)
        self.end_headers()
        self.wfile.write(f"it is so\n{step}".encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Client(Endpoint(f"http://127.0.0.1:{server.server_port}"))
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "kind"), [(400, ApiError), (403, Unauthenticated), (404, NotFound), (429, ApiError), (500, ApiError)]
)
def test_the_servers_own_step_is_told_once(client: Client, status: int, kind: type[KokirisError]) -> None:
    with pytest.raises(kind) as raised:
        client.get(f"/{status}/step")
    assert raised.value.message == f"Unexpected response code: {status} (it is so)"
    assert raised.value.next_step == "Do that."


@pytest.mark.parametrize("status", [400, 404, 409, 429, 500, 503])
def test_without_one_nobody_is_sent_to_files_of_the_node(client: Client, status: int) -> None:
    with pytest.raises(KokirisError) as raised:
        client.get(f"/{status}")
    assert "log" not in raised.value.next_step
    assert "data folder" not in raised.value.next_step


def test_a_worker_s_step_passes_through_the_server() -> None:
    told = Relayed(404, 'task "web" not started yet\nLook at its events.', "Look at its events.")
    assert (told.message, told.next_step) == ('task "web" not started yet', "Look at its events.")
    assert "log" not in Relayed(500, "broken").next_step


def test_why_a_session_ended() -> None:
    asked = refusal(Close(1008, 'task "x" is not part of the allocation'))
    assert isinstance(asked, BadInput)
    assert 'task "x"' in asked.message
    assert "alloc status" in asked.next_step
    broken = refusal(None)
    assert isinstance(broken, Unavailable)
    assert broken.next_step == step_after(500)


def test_an_id_that_is_none_is_not_sent_to_the_server(client: Client) -> None:
    with pytest.raises(NotFound, match='No node\\(s\\) with prefix or id "zz" found') as raised:
        find_by_id(client, "/500", "zz", "node")
    assert "node status" in raised.value.next_step


@pytest.mark.parametrize(
    ("endpoint", "named"),
    [
        (Endpoint("http://127.0.0.1:x"), 'NOMAD_ADDR "http://127.0.0.1:x"'),
        (Endpoint("http://127.0.0.1:99999"), 'NOMAD_ADDR "http://127.0.0.1:99999"'),
        (Endpoint("127.0.0.1:4646"), 'NOMAD_ADDR "127.0.0.1:4646"'),
        (Endpoint("http://127.0.0.1:1", "one\ntwo"), "NOMAD_TOKEN"),
        (Endpoint("https://127.0.0.1:1", ca_file="/etc/hostname"), "NOMAD_CACERT /etc/hostname"),
        (Endpoint("https://127.0.0.1:1", ca_file="/etc"), "NOMAD_CACERT /etc"),
        (Endpoint("https://127.0.0.1:1", ca_file="/nowhere.pem"), "NOMAD_CACERT /nowhere.pem"),
    ],
)
def test_a_wrong_variable_of_the_environment_is_named(endpoint: Endpoint, named: str) -> None:
    def use() -> None:
        Client(endpoint)
        endpoint.tls_context()

    with pytest.raises(BadInput) as raised:
        use()
    assert named in raised.value.message
    assert "two" not in raised.value.message


def test_a_defect_of_ours_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("sys.argv", ["kokiris", "job", "status"])
    monkeypatch.setattr("kokiris.cli.job.open_client", broken)
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError at " in told
    assert "Traceback" not in told
