"""What is printed to be pasted works where it is pasted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kokiris.cli.entry import main
from kokiris.cli.program import program


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "tree" / ".venv" / "bin" / "kokiris"
    made.parent.mkdir(parents=True)
    made.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(made), "urls"])
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path / "tree")
    return made


def test_below_the_working_folder_its_path_is_short(command: Path) -> None:
    assert program() == ".venv/bin/kokiris"


def test_elsewhere_its_path_is_whole(command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert program() == str(command)


def test_on_the_path_it_is_its_name(command: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/nowhere:{command.parent}")
    assert program() == "kokiris"


def test_another_kokiris_on_the_path_is_not_this_one(
    command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kokiris").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == ".venv/bin/kokiris"


def test_an_interruption_while_starting_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kokiris.cli.main.main", interrupted)
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
