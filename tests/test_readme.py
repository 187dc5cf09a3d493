"""What a newcomer copies from the README first."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

import tsstore
from tsstore.cli.main import main

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_first_lines_of_python_run_as_they_stand(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[0], {})
    assert "185.4" in capsys.readouterr().out
    listed = CliRunner().invoke(main, ["ls", "--dir", "first"])
    assert listed.output == "AAPL/1Min/OHLCV\n"


def test_what_python_writes_fits_the_mkts_yml_of_init(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (opening,) = re.findall(r"^with (tsstore\.open\(\"data\".*?\)) as", README, re.MULTILINE)
    assert CliRunner().invoke(main, ["init"]).exit_code == 0
    with eval(opening, {"tsstore": tsstore}) as store:
        store.write("AAPL/1D/OHLCV", {"Epoch": ["2024-01-02 05:00"], "Close": [185.2]})
    for command in ("ls", "compact"):
        result = CliRunner().invoke(main, [command])
        assert (result.exit_code, result.stderr) == (0, "")


def test_every_command_that_is_shown_takes_its_options() -> None:
    lines = "\n".join(blocks("sh")).splitlines()
    shown = [shlex.split(line, comments=True) for line in lines if line.startswith("tsstore ")]
    assert len(shown) >= 4
    for _, name, *arguments in shown:
        command = main.get_command(None, name)
        assert command is not None, name
        command.make_context(name, arguments)
