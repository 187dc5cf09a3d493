"""`tsstore init`, and the example it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsstore.cli.init import example
from tsstore.config import Keys, Limits, Replication, load_config
from tsstore.host import load_plugins
from tsstore_massive.config import Config as MassiveConfig

ROOT = Path(__file__).parents[2]
KEYS = {
    name
    for kind in (Keys, Limits, Replication, MassiveConfig)
    for name in kind.__struct_encode_fields__
}


def test_the_example_of_the_repository_is_the_one_that_is_shipped() -> None:
    assert example() == (ROOT / "mkts.yml.example").read_text()


def test_the_example_is_written_and_loads(here: Path, run, monkeypatch) -> None:
    monkeypatch.setenv("MASSIVE_API_KEY", "SECRET123")
    assert run("init").output.startswith("wrote mkts.yml")
    plugins = load_plugins(load_config(here / "mkts.yml"))
    assert [plugin.name for plugin in plugins.workers] == ["massive"]
    assert [plugin.name for plugin in plugins.triggers] == ["stream */*/*"]


def test_who_has_no_key_is_told_what_to_do(here: Path, run, monkeypatch) -> None:
    monkeypatch.delenv("MASSIVE_API_KEY", raising=False)
    told = run("init").output
    assert "`data_source: synthetic` in\nplace of `api_key`" in told
    assert "take bgworkers out" in told
    result = run("start")
    assert result.exit_code == 2
    assert "MASSIVE_API_KEY is not set; " in result.stderr
    assert result.stderr.endswith("; or take this line, or all of bgworkers[0], out\n")
    kept = (here / "mkts.yml").read_text().partition("bgworkers:\n")[0]
    (here / "mkts.yml").write_text(kept)
    assert load_plugins(load_config(here / "mkts.yml")).workers == ()


def test_the_example_with_every_comment_removed_loads(here: Path, monkeypatch) -> None:
    monkeypatch.setenv("MASSIVE_API_KEY", "SECRET123")
    lines = [
        line.replace("# ", "", 1) if _is_commented_out(line) else line
        for line in example().splitlines()
    ]
    text = "\n".join(lines).replace("wss://socket.massive.com", "ws://127.0.0.1:8000")
    text = text.replace("https://api.massive.com", "http://127.0.0.1:8000")
    (here / "mkts.yml").write_text(text)
    (here / "symbols.yml").write_text("tech_leaders: {top_3: [AAPL]}")
    config = load_config(here / "mkts.yml")
    load_plugins(config)
    unset = [name for name in Keys.__struct_encode_fields__ if getattr(config, name) in (None, ())]
    assert unset == []
    assert None not in [getattr(config.limits, name) for name in Limits.__struct_encode_fields__]
    assert config.replication == Replication(token_file="/etc/tsstore/writer-token")


def _is_commented_out(line: str) -> bool:
    """Whether a comment is a key that is left out."""
    comment = line.strip()
    return comment.startswith("# ") and comment[2:].strip().partition(":")[0] in KEYS


@pytest.mark.parametrize("name", [*Keys.__struct_encode_fields__, *Limits.__struct_fields__])
def test_every_key_is_in_the_example(name: str) -> None:
    assert f"{name}:" in example()


def test_every_option_of_the_worker_is_in_the_example() -> None:
    for name in MassiveConfig.__struct_encode_fields__:
        assert f"{name}:" in example(), name


def test_defaults_in_the_example_are_the_defaults(here: Path) -> None:
    from tsstore.cli.start import server_settings, store_settings
    from tsstore.server.settings import ServerSettings
    from tsstore.storage.settings import Settings

    shown = {}
    for line in example().splitlines():
        name, colon, value = line.strip().removeprefix("# ").strip().partition(": ")
        if colon and name.isidentifier():
            shown[name] = value.split(" #")[0].strip()
    path = here / "mkts.yml"
    names = ["wal_sync", "wal_sync_interval_s", "files_max", "compaction_bytes_per_s"]
    keys = "".join(f"{name}: {shown[name]}\n" for name in names)
    limits = ", ".join(f"{name}: {shown[name]}" for name in Limits.__struct_encode_fields__)
    path.write_text(f"root_directory: d\n{keys}limits: {{{limits}}}\n")
    config = load_config(path)
    assert store_settings(config) == Settings()
    assert server_settings(config) == ServerSettings()


def test_an_existing_file_is_kept(here: Path, run) -> None:
    (here / "mkts.yml").write_text("mine")
    result = run("init")
    assert result.exit_code == 2
    assert "is there already" in result.stderr
    assert (here / "mkts.yml").read_text() == "mine"


def test_a_directory_gets_the_usual_name(here: Path, run) -> None:
    (here / "etc").mkdir()
    run("init", "etc")
    assert (here / "etc" / "mkts.yml").read_text() == example()


def test_a_directory_that_is_not_there_is_an_error(run) -> None:
    result = run("init", "no/where.yml")
    assert result.exit_code == 7
    assert "cannot write no/where.yml" in result.stderr
