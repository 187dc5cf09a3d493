"""The command `massive_reference`."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from tsstore.clock import SystemClock
from tsstore.config import read_secret
from tsstore.errors import InvalidArgumentError
from tsstore_massive.commandline import (
    config_option,
    directory_option,
    from_file,
    run,
    source_of,
    split_list,
    store_directory,
)
from tsstore_massive.config import API_KEY_VARIABLE, Config
from tsstore_massive.configured import wanted_symbols
from tsstore_massive.listing import resolve_symbols
from tsstore_massive.opening import open_for_history
from tsstore_massive.reference.sync import sync_reference
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import limiter_for, quota_text
from tsstore_massive.schemas import ReferenceKind
from tsstore_massive.stopping import run_until_stopped

if TYPE_CHECKING:
    import threading

    from tsstore.clock import Clock
    from tsstore_massive.reference.sync import Report

_KINDS: tuple[ReferenceKind, ...] = get_args(ReferenceKind)
_SHOWN_MAX = 20
# Whoever has mistyped the address, or has no network, learns of it within seconds.
_LIMITS = Limits(first_attempts=3)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--symbols",
    metavar="GLOB",
    help="Symbols and patterns, such as 'AAPL,BRK.*' [those of the config, else *].",
)
@click.option(
    "--kinds",
    metavar="LIST",
    help=f"Some of {','.join(_KINDS)} [all; of the whole market not names, each costs a request].",
)
@click.option("--whole", is_flag=True, help="Fetch everything again, not only the last weeks.")
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    help=f"File with the API key [${API_KEY_VARIABLE}].",
)
@click.option("--base-url", metavar="URL", help="REST service [https://api.massive.com].")
@click.option("--requests-per-minute", type=click.IntRange(1), help="5 on the free plan [6000].")
@config_option
@directory_option
@click.version_option(version("tsstore"), prog_name="massive_reference")
def command(**flags: Any) -> None:  # \b is click's mark for lines to keep
    """Bring splits, dividends, tickers and names of a store up to date.

    They go to SYMBOL/1D/SPLITS and SYMBOL/1D/DIVIDENDS, where adjust() finds them, and to
    SYMBOL/24H/TICKER and SYMBOL/24H/NAMES. Again, the command asks only for what may have changed.

    \b
    massive_reference --dir data --symbols AAPL,META
    massive_reference --dir data --kinds splits,tickers
    """  # noqa: D301
    base, root, timezone = from_file(flags["config_path"], flags["directory"])
    directory = store_directory(flags, root)
    config = _over(base, flags)
    wanted = wanted_symbols(flags["symbols"], config)
    kinds = _kinds(split_list(flags["kinds"] or ""))
    run_until_stopped(partial(_sync, config, wanted, kinds, flags["whole"], directory, timezone))


def main() -> None:
    """Entry point of the console script."""
    run(command, "massive_reference")


def _over(base: Config, flags: dict[str, Any]) -> Config:
    """The options of the file with those of the command line put over them."""
    names = ("base_url", "requests_per_minute")
    given = {name: flags[name] for name in names if flags[name] is not None}
    if flags["api_key_file"] is not None:
        given["api_key"] = read_secret(flags["api_key_file"], "--api-key-file")
    return Config(**msgspec.structs.asdict(base) | given)


def _kinds(names: list[str]) -> tuple[ReferenceKind, ...] | None:
    unknown = sorted(set(names) - set(_KINDS))
    if unknown:
        raise InvalidArgumentError(f"--kinds {','.join(unknown)}: use some of {','.join(_KINDS)}")
    return tuple(kind for kind in _KINDS if kind in names) or None


def _sync(
    config: Config,
    wanted: list[str],
    kinds: tuple[ReferenceKind, ...] | None,
    whole: bool,
    directory: Path,
    timezone: str | None,
    stop: threading.Event,
) -> bool:
    clock: Clock = SystemClock()
    config, synthetic = source_of(config)
    key = config.resolve_key()
    limiter = limiter_for(config, key, clock)
    with (
        RestClient(
            config.base_url, key, clock=clock, limiter=limiter, stop=stop, limits=_LIMITS
        ) as rest,
        open_for_history(directory, timezone, synthetic=synthetic) as store,
    ):
        symbols = None if wanted == ["*"] else resolve_symbols(wanted, store, rest, clock)
        report = sync_reference(
            store, rest, symbols, clock=clock, kinds=kinds, whole=whole,
            on_step=lambda step: click.echo(step, err=True),
        )  # fmt: skip
        _show(report, rest.quota)
    return True


def _show(report: Report, quota: dict[str, Any]) -> None:
    changes = ", ".join(f"{count:,} {kind}" for kind, count in report.changed.items() if count)
    click.echo(f"changed: {changes}" if changes else "nothing changed")
    for reason, count in report.unusable.items():
        click.echo(f"left out: {count:,} x {reason}")
    if report.unknown:
        shown, more = report.unknown[:_SHOWN_MAX], len(report.unknown) - _SHOWN_MAX
        click.echo(
            f"not known to the vendor: {', '.join(shown)}"
            + f" and {more:,} more" * (more > 0)
            + "; check the spelling"
        )
    click.echo(quota_text(quota))
