"""The command `massive_doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tsstore.clock import SystemClock
from tsstore.redact import Redactor, secrets_in_environment
from tsstore_massive.commandline import config_option, directory_option, run
from tsstore_massive.doctor.examine import Examination, Wishes
from tsstore_massive.doctor.findings import Verdict, is_healthy
from tsstore_massive.symbols import MARKETS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsstore_massive.doctor.findings import Finding

_COLOURS = {
    Verdict.OK: "green",
    Verdict.WARN: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.SKIP: "dim",
}
_WIDTH_WITHOUT_TERMINAL = 160


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@directory_option
@click.option(
    "--market",
    "markets",
    type=click.Choice(MARKETS),
    multiple=True,
    help="Whose plan to look at; repeat it for more [that of the config].",
)
@click.option(
    "--socket/--no-socket", default=True, help="Open the socket, which evicts others [yes]."
)
@click.option(
    "--listen", type=click.FloatRange(0, 600), default=5.0, help="Seconds to wait for data [5]."
)
@click.option("--files/--no-files", default=True, help="Look at flat files on S3 [yes].")
@click.option("--profile", metavar="NAME", help="Of ~/.aws/credentials [massive].")
@click.option("--endpoint", metavar="URL", help="S3 service [https://files.massive.com].")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.version_option(version("tsstore"), prog_name="massive_doctor")
def command(**flags: Any) -> None:
    """Say what keeps Massive.com's data from coming, and what to do about it.

    Looks at the options, the key, the plan, REST, the socket, flat files, the clock, the disk and
    the store. A key has one connection to the socket, so it is not opened while a worker on this
    machine streams; it would end one on another machine: --no-socket leaves it out.
    Ends with 1 if something fails.
    """
    redactor = Redactor(secrets_in_environment())
    as_json = flags.pop("as_json")
    tell = partial(click.echo, err=True)
    findings = list(Examination(Wishes(**flags), SystemClock(), redactor, tell).findings())
    shown = [_masked(finding, redactor) for finding in findings]
    if as_json:
        click.echo(msgspec.json.encode(shown).decode())
    else:
        _print_table(shown)
    if not is_healthy(findings):
        sys.exit(1)


def main() -> None:
    """Entry point of the console script."""
    run(command, "massive_doctor")


def _masked(finding: Finding, redactor: Redactor) -> dict[str, str]:
    texts = asdict(finding) | {"verdict": finding.verdict.value}
    return {name: redactor.mask(text) for name, text in texts.items()}


def _print_table(findings: Iterable[dict[str, str]]) -> None:
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        verdict = Text(finding["verdict"], _COLOURS[Verdict(finding["verdict"])])
        table.add_row(verdict, *(Text(finding[name]) for name in ("check", "found", "advice")))
    console.print(table)
