"""Commands that plugins bring (entry points `tsstore.commands`), with a store to work on."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import click

from tsstore.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

GROUP = "tsstore.commands"
_LOCATION = ("url", "directory", "token_file", "ca_file")


def plugin_commands() -> dict[str, str]:
    """Names of the commands that are installed, each with what it is of; nothing is imported."""
    return {
        point.name: f"Of the plugin {point.module.partition('.')[0]}."
        for point in sorted(_installed(), key=lambda point: point.name)
    }


def plugin_command(name: str) -> click.Command | None:
    """A plugin's command with the options that choose a store; None if there is none.

    Raises:
        ConfigError: it cannot be loaded.
    """
    for point in _installed().select(name=name):
        return with_store(_load(point))
    return None


def _installed() -> EntryPoints:
    from importlib.metadata import entry_points  # 20 ms that other commands need not wait

    return entry_points(group=GROUP)


def _load(point: EntryPoint) -> click.Command:
    try:
        command = point.load()
    except Exception as error:
        # A plugin's import may raise anything; which one it was tells what to install.
        raise ConfigError(
            f"cannot load {point.value!r}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(command, click.Command):
        raise ConfigError(f"{point.value!r} is no click.Command, as {GROUP} has to name")
    return command


def with_store(command: click.Command) -> click.Command:
    """A copy of a command, or of all commands of a group, that finds its store in `ctx.obj`."""
    from tsstore.cli.locate import locate, location_options  # `tsstore --help` needs no store

    result = copy.copy(command)
    if isinstance(result, click.Group):
        result.commands = {name: with_store(one) for name, one in result.commands.items()}
        return result
    result.params = list(command.params)
    location_options(result)
    inner = command.callback

    def callback(**values: Any) -> Any:
        where = {name: values.pop(name) for name in _LOCATION}
        context = click.get_current_context()
        context.obj = locate(**where)
        return None if inner is None else inner(**values)

    result.callback = callback
    return result
