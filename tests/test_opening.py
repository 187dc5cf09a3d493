"""What is no data directory is refused, and nothing is made there."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import tsstore
from tests.marketstore.writer import Directory
from tsstore.cli.main import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("url", ["http://127.0.0.1:5993", "https:/host", "s3://bucket/data"])
@pytest.mark.parametrize("opening", [tsstore.open, tsstore.open_shared])
def test_a_url(here, url, opening):
    with pytest.raises(tsstore.InvalidArgumentError, match=r"use tsstore\.connect\(url\)"):
        opening(url)
    assert list(here.iterdir()) == []


def test_a_url_as_a_directory_of_a_command():
    result = CliRunner().invoke(main, ["create", "A/1D/X", "V:f8", "--dir", "http://host:1"])
    assert result.exit_code == 2
    assert "use --url for a server" in result.stderr


def test_a_file(here):
    (here / "a.csv").write_text("Epoch,Close")
    with pytest.raises(tsstore.StorageError, match=r"a\.csv/: .*a file has that name; name a dir"):
        tsstore.open("a.csv")


@pytest.mark.parametrize("read_only", [False, True])
def test_the_directory_of_a_marketstore(here, read_only):
    Directory(here / "old").write("A/1Min/X", {"Price": "f8"}, [(0, (1.0,))])
    with pytest.raises(tsstore.InvalidArgumentError, match=r"tsstore migrate /\S+/old --dir NEW"):
        tsstore.open("old", read_only=read_only)


@pytest.mark.parametrize("command", [["start"], ["ls"], ["query", "A/1Min/X"]])
def test_the_directory_of_a_marketstore_on_the_command_line(here, command):
    Directory(here / "old").write("A/1Min/X", {"Price": "f8"}, [(0, (1.0,))])
    (here / "mkts.yml").write_text("root_directory: old\nlisten_port: 0\n")
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "let root_directory in mkts.yml name NEW" in result.stderr
