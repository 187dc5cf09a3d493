from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from tsstore_massive.backfilling.flags import GoFlagsCommand


@click.command(cls=GoFlagsCommand)
@click.option("--api-key")
@click.option("--base-url")
@click.option("--bars/--no-bars")
@click.option("--refetch", is_flag=True)
@click.option("--from", "starts", multiple=True)
@click.argument("rest", nargs=-1)
def command(**values):
    click.echo(repr({name: value for name, value in values.items() if value}))


def run(*args: str):
    return CliRunner().invoke(command, args)


def parsed(*args: str):
    result = run(*args)
    assert result.exit_code == 0, result.output
    return eval(result.output)


@pytest.mark.parametrize(
    "args",
    [
        ["--api-key", "x"],
        ["--api-key=x"],
        ["-apiKey", "x"],
        ["-apiKey=x"],
        ["--apiKey", "x"],
        ["--apiKey=x"],
        ["-api-key", "x"],
    ],
)
def test_a_value_may_be_given_in_every_spelling(args):
    assert parsed(*args) == {"api_key": "x"}


@pytest.mark.parametrize("name", ["-baseURL", "--baseURL", "--base-url", "-baseUrl"])
def test_capitals_stand_for_dashes(name):
    assert parsed(name, "u") == {"base_url": "u"}


@pytest.mark.parametrize("arg", ["-bars", "--bars", "-bars=true", "--bars=1", "-bars=T"])
def test_a_flag_may_be_switched_on_in_every_spelling(arg):
    assert parsed(arg) == {"bars": True}


@pytest.mark.parametrize("arg", ["-bars=false", "--bars=0", "--no-bars", "-bars=F"])
def test_a_flag_may_be_switched_off_in_every_spelling(arg):
    assert parsed("-bars", arg) == {}


def test_a_value_that_is_neither_true_nor_false_is_refused():
    result = run("-bars=perhaps")
    assert result.exit_code == 2
    assert "'perhaps' is not true or false" in result.output


def test_a_flag_that_only_switches_on_cannot_be_switched_off():
    assert run("-refetch=false").exit_code == 2


def test_repeated_options_keep_their_order():
    assert parsed("-from", "1Min=a", "--from=1D=b") == {"starts": ("1Min=a", "1D=b")}


def test_a_value_may_begin_with_a_dash():
    assert parsed("-apiKey", "-bars") == {"api_key": "-bars"}


def test_what_follows_two_dashes_is_left_alone():
    assert parsed("-bars", "--", "-apiKey", "x") == {"bars": True, "rest": ("-apiKey", "x")}


@pytest.mark.parametrize("args", [["-unknown"], ["--unknown=1"], ["-apiKey"]])
def test_unknown_options_and_missing_values_are_usage_errors(args):
    assert run(*args).exit_code == 2


def test_help_shows_the_gnu_spelling():
    result = run("--help")
    assert "--api-key" in result.output
    assert result.exit_code == 0
