"""`massive_backfiller`: history of bars, trades and quotes into a store, by REST."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsstore.clock import SystemClock
from tsstore.errors import InvalidArgumentError
from tsstore_massive.backfilling.backfill import PARALLELISM_MAX
from tsstore_massive.backfilling.command import backfill
from tsstore_massive.backfilling.flags import GoFlagsCommand
from tsstore_massive.backfilling.options import read_options
from tsstore_massive.commandline import config_option, directory_option, run
from tsstore_massive.config import API_KEY_VARIABLE
from tsstore_massive.sessions import day_of
from tsstore_massive.stopping import run_until_stopped
from tsstore_massive.synthetic import SYNTHETIC

if TYPE_CHECKING:
    import threading

    from tsstore.clock import Clock
    from tsstore_massive.backfilling.options import Options


@click.command(cls=GoFlagsCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--api-key",
    "api_key",
    metavar="KEY",
    help=f"The key; others can see it in the list of processes, so rather set "
    f"{API_KEY_VARIABLE} or use --api-key-file.",
)
@click.option("--api-key-file", type=click.Path(path_type=Path), help="File with the key.")
@click.option("--base-url", metavar="URL", help="REST service [https://api.massive.com].")
@click.option("--bars/--no-bars", help="Fetch bars.")
@click.option("--bar-frequencies", metavar="LIST", help="Bar lengths, such as 1Min,1D [1Min].")
@click.option("--trades/--no-trades", help="Fetch trades.")
@click.option("--quotes/--no-quotes", help="Fetch quotes.")
@click.option(
    "--from",
    "starts",
    metavar="FREQ=DATE",
    multiple=True,
    help="From this day on, by bar length, trades or quotes; repeat it for more. "
    "A date alone is for all [query_start of the config].",
)
@click.option(
    "--to", "end", metavar="DATE", help="Up to this day, itself not included [up to now]."
)
@click.option(
    "--symbols",
    metavar="GLOB",
    help="Symbols and patterns, such as 'AAPL,BRK.*' [those of the config, else *].",
)
@click.option(
    "--parallelism",
    metavar="N",
    type=click.IntRange(1, 64),
    help=f"Symbols asked for at a time [as many as pay, at most {PARALLELISM_MAX}].",
)
@click.option("--batch-size", type=click.IntRange(1, 50_000), help="Rows per request [50000].")
@click.option(
    "--requests-per-minute",
    type=click.IntRange(1),
    help="Requests that may start within a minute; 5 on the free plan [6000].",
)
@click.option(
    "--adjusted/--no-adjusted",
    default=None,
    help="Bars adjusted to splits; adjust() is for those that are not [no].",
)
@click.option(
    "--source",
    type=click.Choice(["auto", "rest", "flatfiles"]),
    default="auto",
    help="auto: REST, and flat files where they are quicker and the profile [massive] has S3 keys; "
    "rest; or flatfiles alone, see massive_flatfiles [auto].",
)
@click.option("--dry-run", is_flag=True, help="Say what it would cost, and fetch nothing.")
@click.option(
    "--archive",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where flat files are kept [the store's directory with .flatfiles added].",
)
@click.option("--profile", metavar="NAME", help="Of the S3 keys in ~/.aws/credentials [massive].")
@click.option("--endpoint", metavar="URL", help="S3 service [https://files.massive.com].")
@click.option("--bucket", metavar="NAME", help="S3 bucket [flatfiles].")
@click.option("--refetch", is_flag=True, help="Fetch days again that were fetched before.")
@click.option(
    "--ask-again",
    is_flag=True,
    help="Ask for what the plan of the key did not include within the last day.",
)
@config_option
@directory_option
@click.version_option(version("tsstore"), prog_name="massive_backfiller")
def command(**flags: Any) -> None:  # \b is click's mark for lines to keep
    """Fetch history from Massive.com into a store.

    The store may be in use by a running server; rows then go through it. Days that were fetched
    before are left out, so the same command goes on where it was stopped, and does nothing once it
    is complete. It ends with 1 if something failed, or if nothing that was named is known to the
    vendor. Every option can also be written in Go's way: -apiKey, -barFrequencies=1Min.

    \b
    massive_backfiller -dir data -symbols AAPL,MSFT -bars -from 1Min=2024-01-01
    massive_backfiller -config mkts.yml -trades -from trades=2024-06-03 -to 2024-06-08
    """  # noqa: D301
    clock = SystemClock()
    options = read_options(flags, day_of(clock.now_ns()))
    work = _load_files if options.source == "flatfiles" else backfill
    if work is _load_files and flags["adjusted"]:
        raise InvalidArgumentError("flat files are not adjusted; leave out --adjusted")
    if work is _load_files and options.config.data_source == SYNTHETIC:
        raise InvalidArgumentError(
            "data_source is synthetic, and flat files are real; leave out --source flatfiles"
        )
    run_until_stopped(partial(work, options, clock))


def main() -> None:
    """Entry point of the console script."""
    run(command, "massive_backfiller")


def _load_files(options: Options, clock: Clock, stop: threading.Event) -> bool:
    from tsstore_massive.flatfiles.run import load, options_of  # brings what most runs do not need

    return load(options_of(options, day_of(clock.now_ns())), clock, stop)
