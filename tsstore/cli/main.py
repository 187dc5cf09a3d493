"""The group of commands, and how errors become one line and an exit code of `EXIT_CODES`."""

from __future__ import annotations

import codecs
import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from tsstore.cli.plugincommand import plugin_command, plugin_commands
from tsstore.errors import StorageError, TsStoreError

#: Every code that a command ends with. Those of errors are attributes of their classes.
EXIT_CODES = {
    0: "done",
    1: "failed, or a question was answered with no",
    2: "wrong usage or configuration",
    3: "not found",
    4: "damaged",
    5: "no connection, or not allowed by the server",
    6: "locked by another process",
    7: "refused by the disk",
    130: "interrupted",
}

#: Name of each command and the module that holds it, as an attribute `command`.
_COMMANDS = {
    "init": "Write a commented mkts.yml.",
    "start": "Run the server with the plugins of mkts.yml.",
    "query": "Print rows of a bucket, or of several.",
    "sql": "Print the rows of an SQL statement.",
    "connect": "Show, load and change buckets in a session.",
    "ls": "List buckets.",
    "load": "Write CSV, Parquet or Arrow files to buckets.",
    "migrate": "Copy the data directory of a MarketStore.",
    "export": "Write buckets to CSV, Parquet or Arrow files.",
    "stats": "Show how a store or its buckets are stored.",
    "create": "Create an empty bucket.",
    "delete": "Delete rows of a bucket.",
    "destroy": "Remove a bucket and its rows.",
    "rename": "Give a bucket another name.",
    "copy": "Make a bucket with the rows of another.",
    "retention": "Delete rows that are older than some time.",
    "compact": "Merge the files of buckets into few packed ones.",
    "backup": "Make a copy of a store, while it is written to.",
    "restore": "Make a store from a backup.",
    "check": "Read every byte of a data directory and report damage.",
    "repair": "Mend a damaged data directory with what can be read.",
    "dump": "Show what a file of a data directory holds.",
    "estimate": "Estimate the disk that a plan takes.",
    "plugin": "Write plugins of your own.",
    "demo": "Run simulator and server, and watch live data arrive.",
}
#: As MarketStore's users know them.
_ALIASES = {"s": "start"}
_ELSEWHERE = {"tool": "`tsstore dump FILE` shows a log, `tsstore check` looks for damage"}


class Commands(click.Group):
    """Imports a command only when it is run, so that none pays for the others.

    Those of plugins are behind our own, and cannot take the name of one.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of use."""
        del ctx
        return [*_COMMANDS, *plugin_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported."""
        name = _ALIASES.get(cmd_name, cmd_name)
        if name in _ELSEWHERE:
            raise click.UsageError(f"no such command {name!r}: {_ELSEWHERE[name]}", ctx)
        if name not in _COMMANDS:
            return plugin_command(name)
        command: click.Command = import_module(f"tsstore.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([*_COMMANDS.items(), *plugin_commands().items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it raises becomes one line and an exit code."""
        _prepare_output()
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except TsStoreError as error:
            _fail(ctx, error.shell_text or str(error), error.exit_code)
        except BrokenPipeError:  # the reader, such as `head`, has enough
            _drop_output()
            ctx.exit(0)
        except OSError as error:
            where = "" if error.filename is None else f"{error.filename}: "
            text = f"{where}{error.strerror or error}; see to it and try again"
            _fail(ctx, text, StorageError.exit_code)
        except UnicodeEncodeError as error:
            character = error.object[error.start : error.end]
            text = f"{character!a} is not in {error.encoding}; set PYTHONIOENCODING=utf-8"
            _fail(ctx, text, TsStoreError.exit_code)
        except KeyboardInterrupt:
            ctx.exit(130)
        return result


def _fail(ctx: click.Context, text: str, exit_code: int) -> NoReturn:
    for line in text.splitlines():
        click.echo(f"tsstore: {line}", err=True)
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    ctx.exit(exit_code)


def _drop_output() -> None:
    """Forget what could not be written: Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_output() -> None:
    """Let everything be printed that commands print."""
    # Whoever started the command may have closed them: no file of a store must get their numbers.
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    out = sys.stdout
    # Names of files that are no Unicode text appear as the bytes that they are.
    if isinstance(out, io.TextIOWrapper) and codecs.lookup(out.encoding).name == "utf-8":
        out.reconfigure(errors="surrogateescape")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: "
    + ", ".join(f"{code} {text}" for code, text in EXIT_CODES.items())
    + ".\n\n"
    'Shell completion: eval "$(_TSSTORE_COMPLETE=bash_source tsstore)", or zsh_source, '
    "fish_source.",
)
@click.version_option(
    None, "-v", "--version", package_name="tsstore", message="tsstore %(version)s"
)
def main() -> None:
    """Time-series store for market data.

    A command works on the server given by --url, else on the directory given by --dir, else on
    root_directory of ./mkts.yml, else on ./data.
    """


if __name__ == "__main__":
    main()
