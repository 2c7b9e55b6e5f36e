"""Flags as Nomad's users type them, and what happens when they mistype."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kokiris.access.exports import parse_exports
from kokiris.cli.alloc import exec_command
from kokiris.cli.flags import Command, Group, flag, value, values, without_truth_values
from kokiris.cli.here import find_infra
from kokiris.cli.infra import check_folder, parse_address, parse_ports, set_logs
from kokiris.cli.main import COMMANDS, root
from kokiris.infra.config import Config, LogsConfig, Ports, save
from kokiris.kernel.errors import BadInput, NotFound, Unavailable


@click.command("probe", cls=Command, examples="probe -x")
@flag("detach", "d")
@flag("f", "f")
@value("check-index", "c", default=-1, kind=int)
@values("var", "v")
def probe(**given: object) -> None:
    """Prints what it was given."""
    click.echo(repr(dict(sorted(given.items()))))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", {"detach": False, "f": False, "check_index": -1, "var": ()}),
        ("-detach -f", {"detach": True, "f": True, "check_index": -1, "var": ()}),
        ("--detach -check-index 7", {"detach": True, "f": False, "check_index": 7, "var": ()}),
        ("-check-index=7", {"detach": False, "f": False, "check_index": 7, "var": ()}),
        ("-detach=true -f=false", {"detach": True, "f": False, "check_index": -1, "var": ()}),
        ("-detach=false -f=1 -check-index 7", {"detach": False, "f": True, "check_index": 7, "var": ()}),
        ("-var a=b -var=c=d=e", {"detach": False, "f": False, "check_index": -1, "var": ("a=b", "c=d=e")}),
    ],
)
def test_spellings(typed: str, expected: dict[str, object]) -> None:
    result = CliRunner().invoke(probe, typed.split())
    assert result.output == f"{dict(sorted(expected.items()))!r}\n"


def test_a_wrong_flag_is_named() -> None:
    result = CliRunner().invoke(probe, ["-detahc"])
    assert result.exit_code == 2
    assert "No such option '-detahc'" in result.output
    assert "-detach" in result.output.replace("-detahc", "")


@pytest.mark.parametrize(
    "path", [[], *([name] for name in COMMANDS), ["job", "run"], ["alloc", "exec"], ["node", "drain"]]
)
def test_every_command_explains_itself(path: list[str]) -> None:
    result = CliRunner().invoke(root, [*path, "-h"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_every_verb_has_an_example() -> None:
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        verbs = list(command.commands.values()) if isinstance(command, Group) else [command]
        inner = [one for verb in verbs if isinstance(verb, Group) for one in verb.commands.values()]
        for verb in [*(verb for verb in verbs if not isinstance(verb, Group)), *inner]:
            assert getattr(verb, "examples", ""), f"{name} {verb.name if verb else ''} has no example"


def test_completion_is_printed_for_every_shell() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_KOKIRIS_COMPLETE" in CliRunner().invoke(root, ["completion", shell]).output


def test_ports_are_named_when_wrong() -> None:
    assert parse_ports(("http=8080", "etcd-client=9")).http == 8080
    for wrong in ("htpp=1", "http", "http=0", "http=70000", "http=x"):
        with pytest.raises(BadInput, match=wrong.partition("=")[0]):
            parse_ports((wrong,))


def test_an_outside_log_search_is_checked_before_anything_starts(tmp_path: Path) -> None:
    nothing = {"elasticsearch_url": "", "elasticsearch_ca_file": "", "elasticsearch_credentials_file": ""}
    (tmp_path / "ca.pem").touch()
    logs = LogsConfig(elasticsearch_credentials_file="/kept")
    url = "https://kib.demo.customer.kokiris.localhost"
    set_logs(logs, {**nothing, "elasticsearch_url": url, "elasticsearch_ca_file": tmp_path / "ca.pem"})
    assert (logs.elasticsearch_url, logs.elasticsearch_ca_file) == (url, str(tmp_path / "ca.pem"))
    assert logs.elasticsearch_credentials_file == "/kept"
    for wrong in ("kib.demo", "ftp://kib.demo", "https://", "https://elastic:s3cret@kib.demo"):
        with pytest.raises(BadInput, match="-elasticsearch-url") as refused:
            set_logs(logs, {**nothing, "elasticsearch_url": wrong})
        assert "s3cret" not in refused.value.message
    with pytest.raises(BadInput, match=r"-elasticsearch-ca-file .*/missing.pem is no file"):
        set_logs(logs, {**nothing, "elasticsearch_ca_file": tmp_path / "missing.pem"})


def test_which_infra_is_meant(tmp_path: Path) -> None:
    def make(client: str, infra: str) -> Path:
        folder = tmp_path / client / infra
        folder.mkdir(parents=True)
        (folder / "config.toml").touch()
        return folder

    with pytest.raises(NotFound):
        find_infra("", "", "", base=tmp_path)
    one = make("demo", "rec1")
    assert find_infra("", "", "", base=tmp_path) == one
    two = make("demo", "rec2")
    with pytest.raises(BadInput, match="demo/rec1, demo/rec2"):
        find_infra("", "", "", base=tmp_path)
    assert find_infra("", "rec2", "", base=tmp_path) == two
    assert find_infra("demo", "rec1", "", base=tmp_path) == one
    with pytest.raises(NotFound, match="no infra …/rec9 on this node; here are: demo/rec1, demo/rec2"):
        find_infra("", "rec9", "", base=tmp_path)
    with pytest.raises(NotFound):
        find_infra("demo", "rec3", "", base=tmp_path)
    with pytest.raises(BadInput):
        find_infra("../x", "rec1", "", base=tmp_path)


def test_exports_are_read_back(tmp_path: Path) -> None:
    file = tmp_path / "token.env"
    file.write_text("export A=b\nexport C='d e'\n")
    assert parse_exports(file) == {"A": "b", "C": "d e"}


def test_env_of_an_infra_that_never_came_up(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    result = CliRunner().invoke(root, ["env", "-data-dir", str(tmp_path)])
    assert isinstance(result.exception, NotFound)
    assert str(tmp_path) in result.exception.message


def test_an_address_is_checked_before_anything_is_touched() -> None:
    assert parse_address("-vip", "10.0.0.1") == "10.0.0.1"
    with pytest.raises(BadInput, match='-vip "nonsense"'):
        parse_address("-vip", "nonsense")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["-i=false", "-t=false", "4c1d", "sh", "-t=true"], ["-T", "4c1d", "sh", "-t=true"]),
        (["-task", "web", "-t=true", "4c1d", "echo", "-i=false"], ["-task", "web", "-t", "4c1d", "echo", "-i=false"]),
    ],
)
def test_a_commands_own_arguments_are_left_as_they_are(typed: list[str], expected: list[str]) -> None:
    assert without_truth_values(typed, exec_command.params, anywhere=False) == expected


def test_verbs_of_nomad_that_are_absent_say_why() -> None:
    result = CliRunner().invoke(root, ["job", "dispatch", "shop"])
    assert result.exit_code == 2
    assert "parameterized" in result.output


def test_general_options_stand_for_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMAD_ADDR", "https://127.0.0.1:2")
    result = CliRunner().invoke(root, ["job", "status", "-address", "http://127.0.0.1:1"])
    assert isinstance(result.exception, Unavailable)
    assert "http://127.0.0.1:1 does not answer" in result.exception.message


def test_the_readme_shows_what_job_init_writes(tmp_path: Path) -> None:
    written = tmp_path / "hello.nomad.hcl"
    assert CliRunner().invoke(root, ["job", "init", str(written)]).exit_code == 0
    assert f"```hcl\n{written.read_text()}```" in Path("README.md").read_text()
    assert isinstance(CliRunner().invoke(root, ["job", "init", str(written)]).exception, BadInput)


def test_every_flag_is_in_the_help() -> None:
    shown = CliRunner().invoke(root, ["job", "status", "-h"]).output
    assert "General options:" in shown
    for name in ("-json", "-namespace", "-address", "-token", "-ca-cert", "-region"):
        assert f"  {name}" in shown


def test_verbs_of_nomad_at_the_top_say_what_is_in_their_place() -> None:
    result = CliRunner().invoke(root, ["inspect", "shop"])
    assert "kokiris job inspect" in result.output


def test_a_file_in_a_folder_that_is_not_there_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    check_folder("-hosts-file", str(tmp_path / "hosts"))
    with pytest.raises(BadInput, match=r'-docker-socket "/nowhere/docker\.sock": there is no folder /nowhere'):
        check_folder("-docker-socket", "/nowhere/docker.sock")


def test_the_status_of_an_infra_that_is_down_says_how_to_start_it(tmp_path: Path) -> None:
    ports = Ports(http=1, https=1)
    save(Config(client="demo", infra="rec1", data_dir=str(tmp_path), ports=ports), tmp_path / "config.toml")
    result = CliRunner().invoke(root, ["status", "-data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "not running" in result.output
    assert "Run `kokiris up`" in result.output
