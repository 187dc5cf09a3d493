"""`massive_flatfiles`: the vendor's flat files of days gone by, into a store."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tsstore.clock import SystemClock
from tsstore.errors import InvalidArgumentError
from tsstore.key import is_pattern
from tsstore_massive.commandline import (
    config_option,
    day_of_flag,
    directory_option,
    from_file,
    run,
    split_list,
    store_directory,
)
from tsstore_massive.configured import wanted_symbols
from tsstore_massive.flatfiles.catalogue import MARKETS, FlatSet
from tsstore_massive.flatfiles.credentials import BUCKET, ENDPOINT, PROFILE
from tsstore_massive.flatfiles.planning import Span
from tsstore_massive.flatfiles.run import Options, default_archive, load
from tsstore_massive.flatfiles.selection import Selection
from tsstore_massive.sessions import day_of
from tsstore_massive.stopping import run_until_stopped
from tsstore_massive.symbols import market_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


#: Flags that are options as they are.
_AS_GIVEN = (
    "keep", "fallback", "offline", "reload", "dry_run", "connections", "profile", "endpoint",
    "bucket",
)  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@directory_option
@click.option(
    "--datasets",
    metavar="LIST",
    default="minute_aggs",
    help="Of minute_aggs, day_aggs, trades, quotes, values [minute_aggs].",
)
@click.option(
    "--market", type=click.Choice(list(MARKETS)), default="stocks", help="Which market [stocks]."
)
@click.option(
    "--symbols",
    metavar="GLOB",
    help="Tickers and patterns, such as 'A*,SPY' [those of the config, else *].",
)
@click.option("--exclude", metavar="GLOB", default="", help="Tickers left out, such as 'Z*ZZT'.")
@click.option("--months", type=click.IntRange(1, 600), help="Months back from the last day.")
@click.option("--start", metavar="DATE", help="From this day on.")
@click.option(
    "--end", metavar="DATE", help="Up to this day, itself included [yesterday in New York]."
)
@click.option(
    "--archive",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the files are kept [the store's directory with .flatfiles added].",
)
@click.option("--keep/--no-keep", default=True, help="Keep files that are loaded [yes].")
@click.option("--offline", is_flag=True, help="Load what the archive has; no network.")
@click.option("--reload", is_flag=True, help="Load days again that were loaded before.")
@click.option(
    "--fallback",
    metavar="NAME",
    help="Where days come from that are not yet available: rest (needs MASSIVE_API_KEY), yfinance, "
    "or a source of your own, see docs/plugins.md.",
)
@click.option("--base-url", metavar="URL", help="REST service of --fallback.")
@click.option("--dry-run", is_flag=True, help="Say what would be fetched, and stop.")
@click.option(
    "--connections", type=click.IntRange(1, 256), default=32, help="Ranges at a time [32]."
)
@click.option("--profile", metavar="NAME", help=f"Of ~/.aws/credentials [{PROFILE}].")
@click.option("--endpoint", metavar="URL", help=f"S3 service [{ENDPOINT}].")
@click.option("--bucket", metavar="NAME", help=f"S3 bucket [{BUCKET}].")
@config_option
@click.version_option(version("tsstore"), prog_name="massive_flatfiles")
def command(**flags: Any) -> None:  # \b is click's mark for lines to keep
    """Load Massive.com's flat files (csv.gz on S3) into a store.

    Only days that are missing, or that the vendor has replaced, are fetched; a download that was
    broken off goes on. Files are kept whole, so that other tickers can be loaded later without
    fetching them again. The store may be in use by a running server.

    \b
    massive_flatfiles --dir data --datasets minute_aggs,trades --symbols 'A*,SPY' --months 24
    massive_flatfiles --dir data --symbols QQQ --months 24 --offline
    """  # noqa: D301
    clock = SystemClock()
    options = _read_options(flags, day_of(clock.now_ns()))
    run_until_stopped(partial(load, options, clock))


def main() -> None:
    """Entry point of the console script."""
    run(command, "massive_flatfiles")


def _read_options(flags: Mapping[str, Any], today: date) -> Options:
    config, root, timezone = from_file(flags["config_path"], flags["directory"])
    directory = store_directory(flags, root)
    last = day_of_flag(flags["end"]) if flags["end"] else today - timedelta(days=1)
    first = _first(flags, last)
    include = wanted_symbols(flags["symbols"], config)
    if flags["symbols"] is not None:
        _check_market(include, flags["market"])
    return Options(
        [
            Span(FlatSet.of(flags["market"], name), first, last)
            for name in _datasets(flags["datasets"])
        ],
        Selection(include, split_list(flags["exclude"])),
        directory,
        timezone,
        flags["archive"] or default_archive(directory),
        msgspec.structs.replace(config, base_url=flags["base_url"] or config.base_url),
        **{name: flags[name] for name in _AS_GIVEN},
    )


def _check_market(symbols: Iterable[str], market: str) -> None:
    """Refuse what no file of a market can hold: of options, `SPY` or `I:*`; a `*` may be any."""
    for text in symbols:
        found = market_of(text)
        is_any = is_pattern(text) and ":" not in text
        if found == market or is_any or (found, market) == ("futures", "stocks"):
            continue
        raise InvalidArgumentError(
            f"{text} is of {found}, and --market is {market}; give --market {found}, or other "
            "symbols"
        )


def _datasets(text: str) -> list[str]:
    names = split_list(text)
    if not names:
        raise InvalidArgumentError("--datasets names none; leave it out for minute_aggs")
    return names


def _first(flags: Mapping[str, Any], last: date) -> date:
    if bool(flags["start"]) == bool(flags["months"]):
        raise InvalidArgumentError("from which day? give one of --start 2024-01-31 and --months 24")
    if flags["months"]:
        return _months_before(last, flags["months"])
    first = day_of_flag(flags["start"])
    if first > last and flags["end"]:
        raise InvalidArgumentError(
            f"--start {first} is after --end {last}, the last day, itself included"
        )
    if first > last:
        raise InvalidArgumentError(
            f"--start {first} is after the last day, yesterday in New York ({last})"
        )
    return first


def _months_before(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
