from __future__ import annotations

import importlib.metadata
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import click
import pytest

from tsstore.cli import plugincommand
from tsstore.cli.main import main


@click.command("shout")
@click.argument("word")
@click.pass_obj
def shout(location: Any, /, word: str) -> None:
    click.echo(f"{word.upper()} {location.directory} {location.url}")


@click.group("group")
def group() -> None:
    pass


group.add_command(shout)
no_command = 1


@pytest.fixture(autouse=True)
def _installed(monkeypatch: Any) -> None:
    points = EntryPoints(
        EntryPoint(name, f"{__name__}:{attribute}", plugincommand.GROUP)
        for name, attribute in {
            "shout": "shout", "group": "group", "gone": "gone", "odd": "no_command", "ls": "shout",
        }.items()
    )  # fmt: skip
    monkeypatch.setattr(importlib.metadata, "entry_points", points.select)


@pytest.mark.parametrize("words", [["shout"], ["group", "shout"]])
def test_a_plugins_command_gets_the_store_that_the_options_name(run, words: list[str]) -> None:
    for _ in range(2):  # it is wrapped anew each time
        result = run(*words, "hello", "--dir", "here")
        assert result.output == "HELLO here None\n"
    assert "--url" in run(*words, "--help").output


def test_it_is_listed_behind_ours_and_cannot_take_the_name_of_one(run) -> None:
    names = main.list_commands(None)
    assert names.index("shout") > names.index("demo")
    assert "Of the plugin" in run("--help").output
    assert run("ls", "--help").output.startswith("Usage: main ls")
    assert "WORD" not in run("ls", "--help").output


@pytest.mark.parametrize(("name", "words"), [("gone", "cannot load"), ("odd", "no click.Command")])
def test_one_that_cannot_be_loaded_says_so(run, name: str, words: str) -> None:
    result = run(name)
    assert result.exit_code == 2
    assert words in result.stderr
