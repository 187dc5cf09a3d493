"""`tsstore plugin`: what authors of plugins need."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from tsstore.cli.paths import FilledPath
from tsstore.errors import AlreadyExistsError, InvalidArgumentError, StorageError

#: Template to path in the new directory; `{}` is the name of the plugin.
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "mkts.yml": "mkts.yml",
    "init.py": "{}/__init__.py",
    "options.py": "{}/options.py",
    "trigger.py": "{}/trigger.py",
    "worker.py": "{}/worker.py",
    "test_plugin.py": "tests/test_{}.py",
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")


@click.group("plugin")
def command() -> None:
    """Write plugins of your own."""


@command.command("new")
@click.argument("name")
@click.argument("directory", required=False, type=FilledPath(path_type=Path))
def new(name: str, directory: Path | None) -> None:
    """Write a small package with a trigger, a bgworker and tests to DIRECTORY, or to ./NAME.

    It works as it is: make it yours. NAME is that of the package and of the plugin in mkts.yml.
    """
    _check_name(name)
    directory = directory or Path(name)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise AlreadyExistsError(f"{directory} is there already; name another directory")
    try:
        for template, place in _FILES.items():
            path = directory / place.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(template, name), encoding="utf-8")
            click.echo(f"wrote {path}")
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"cannot write {directory}: {reason}; name another place") from None
    click.echo(f"now: cd {directory} && pip install -e '.[dev]' && pytest")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InvalidArgumentError(
            f"{name!r} is no name of a package; begin with a letter, and use small letters, digits "
            "and _, such as my_plugin"
        )
    if name in sys.stdlib_module_names or name == "tsstore":
        raise InvalidArgumentError(f"there is a package {name} already; take another name")


def _filled(template: str, name: str) -> str:
    text = (files("tsstore.cli") / "newplugin" / f"{template}.template").read_text(encoding="utf-8")
    return Template(text).substitute(name=name)
