"""`tsstore plugin new`: what it writes works as it is."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest

from tsstore.config import load_config
from tsstore.host import load_plugins


def test_the_new_package_passes_its_own_tests(run, here):
    result = run("plugin", "new", "my_plugin")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("now: cd my_plugin && pip install")
    (here / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = ["--strict-config"]\nof_another_project = 1\n'
    )
    package = here / "my_plugin"
    paths = os.pathsep.join([str(package), *filter(None, sys.path)])
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package, env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout


def test_the_new_package_is_tidy(run, here):
    run("plugin", "new", "abcd", "somewhere/else")
    package = here / "somewhere/else"
    for tool in (["check", "--select", "E,F,I,UP,B"], ["format", "--check"]):
        line = [sys.executable, "-m", "ruff", *tool, "--isolated", "--line-length", "100", "."]
        done = subprocess.run(line, cwd=package, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    points = tomllib.loads((package / "pyproject.toml").read_text())["project"]["entry-points"]
    assert points == {
        "tsstore.triggers": {"abcd": "abcd:Trigger"},
        "tsstore.bgworkers": {"abcd": "abcd:Worker"},
    }


def test_its_mkts_yml_starts_both(run, here, monkeypatch):
    run("plugin", "new", "two_of_them")
    monkeypatch.syspath_prepend(str(here / "two_of_them"))
    path = here / "two_of_them" / "mkts.yml"
    path.write_text(
        path.read_text()
        .replace("- module: two_of_them\n    on", "- module: two_of_them:Trigger\n    on")
        .replace("- module: two_of_them\n    name", "- module: two_of_them:Worker\n    name")
    )
    plugins = load_plugins(load_config(path))
    assert [plugin.options.percent for plugin in plugins.triggers] == [2.5]
    assert [plugin.options.seconds for plugin in plugins.workers] == [10.0]


@pytest.mark.parametrize("name", ["My", "9x", "a-b", "class", "", "x" * 51, "../x", "json"])
def test_what_is_no_name_is_refused(run, here, name):
    result = run("plugin", "new", "--", name)
    assert result.exit_code == 2
    assert list(here.iterdir()) == []


def test_what_is_there_is_kept(run, here):
    (here / "mine").mkdir()
    (here / "mine" / "file").write_text("kept")
    result = run("plugin", "new", "mine")
    assert result.exit_code != 0
    assert "mine is there already" in result.stderr
    assert [path.name for path in (here / "mine").iterdir()] == ["file"]
