"""The command `tsstore gaps`."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click
import msgspec
import numpy as np

from tsstore.clock import SystemClock
from tsstore.errors import ConfigError, InvalidArgumentError, InvalidKeyError, NotFoundError
from tsstore.timeframe import Timeframe
from tsstore.times import format_ns, to_ns
from tsstore.usmarket import NEW_YORK
from tsstore_massive.backfilling.summary import say_empty
from tsstore_massive.commandline import config_option, from_file
from tsstore_massive.holes.evidence import Evidence
from tsstore_massive.holes.grid import make_grid
from tsstore_massive.holes.lives import expected
from tsstore_massive.holes.reasons import Reason
from tsstore_massive.holes.vendor import ask
from tsstore_massive.holes.verdicts import holes, judge
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.client import account_of
from tsstore_massive.rest.rate import limiter_for
from tsstore_massive.schemas import bar_group
from tsstore_massive.sessions import CALENDAR_MARKETS, day_end_ns, day_of
from tsstore_massive.symbols import market_of, parse_symbol
from tsstore_massive.texts import day_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.plugin import StoreLocation
    from tsstore_massive.config import Config
    from tsstore_massive.holes.grid import Grid
    from tsstore_massive.holes.verdicts import Hole

_VENDOR_HAS_NOTHING = frozenset({Reason.VENDOR_HAS_NONE, Reason.NO_TRADES})
_NAMES = ("Symbol", "From", "To", "Bars", "Reason")


@click.command("gaps")
@click.argument("symbols", nargs=-1, required=True)
@click.option("--start", required=True, metavar="TIME", help="From this day of New York on.")
@click.option("--end", metavar="TIME", help="Up to this day, itself included, or instant [now].")
@click.option("--timeframe", default="1Min", show_default=True, help="Of the bars, up to 1H.")
@click.option("--extended", is_flag=True, help="From 04:00 to 20:00 and not only 09:30 to 16:00.")
@click.option("--ask-vendor", is_flag=True, help="Ask by REST what the store cannot explain.")
@click.option("--all", "show_all", is_flag=True, help="Print what is explained as well.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["plain", "csv", "json"]),
    default="plain",
    show_default=True,
)
@config_option
@click.pass_obj
def command(location: StoreLocation, /, symbols: tuple[str, ...], **flags: Any) -> None:
    """Find bars of US market days that are missing in the store, and say why.

    SYMBOLS are names or patterns such as 'A*'. A minute without a bar is normal if nobody traded:
    that is known where the trades are in the store, or with --ask-vendor. Only what is to be
    fetched or not explained is printed, unless --all; ends with 1 if there is any.
    """
    clock = SystemClock()
    timeframe = _timeframe(flags["timeframe"])
    grid = make_grid(
        *_span(flags["start"], flags["end"], clock.now_ns()),
        timeframe,
        extended=flags["extended"],
        now_ns=clock.now_ns(),
    )
    counts = Counter[Reason]()
    with location.open_to_read() as store, _vendor(flags) as rest:
        evidence = Evidence(store, grid, timeframe, _account(flags))
        group = bar_group(str(timeframe))
        named = _symbols(store, symbols, group)
        wanted = expected(store, named, grid)
        there = {key.partition("/")[0] for key in store.list(f"*/{group}")}
        absent: dict[str, set[Reason]] = {symbol: set() for symbol in named if symbol not in there}
        found = _counted(_find(evidence, grid, timeframe, wanted, rest), counts, absent)
        _print((hole for hole in found if _is_shown(hole, flags)), flags["style"])
    click.echo(_total(counts, grid, sum(map(np.count_nonzero, wanted.values()))), err=True)
    _say_absent(absent)
    if any(not reason.is_settled for reason in counts):
        sys.exit(1)


def _find(
    evidence: Evidence,
    grid: Grid,
    timeframe: Timeframe,
    wanted: Mapping[str, NDArray[np.bool_]],
    rest: RestClient | None,
) -> Iterator[Hole]:
    for held in evidence.held([*wanted]):
        missing = np.flatnonzero(wanted[held.symbol] & ~held.bars)
        if not len(missing):
            continue
        reasons = judge(held, evidence, grid, missing)
        if rest is not None:
            reasons = ask(rest, held.symbol, grid, timeframe, missing, reasons)
        yield from holes(held.symbol, grid, missing, reasons)


def _symbols(store: StoreApi, texts: Iterable[str], group: str) -> list[str]:
    names: dict[str, None] = {}
    for text in (part for one in texts for part in one.split(",") if part):
        if "*" in text or "?" in text:
            keys = store.list(f"{text}/{group}")
            if not keys:
                raise NotFoundError(f"no bucket matches {text}/{group}; `tsstore ls` shows them")
            found = (key.partition("/")[0] for key in keys)
            names.update(dict.fromkeys(s for s in found if market_of(s) in CALENDAR_MARKETS))
        else:
            names[_parsed(text)] = None
    return list(names)


def _parsed(text: str) -> str:
    try:
        symbol = parse_symbol(text)
    except InvalidKeyError as error:
        raise InvalidArgumentError(f"{text!r} is not a symbol: {error}") from None
    if market_of(symbol) not in CALENDAR_MARKETS:
        raise InvalidArgumentError(
            f"{symbol} is of {market_of(symbol)}, which has other hours than US stocks; name "
            "stocks, options or indices"
        )
    return symbol


def _timeframe(text: str) -> Timeframe:
    try:
        return Timeframe.parse(text)
    except InvalidKeyError:
        raise InvalidArgumentError(f"--timeframe {text!r} is no bar length such as 1Min") from None


def _span(start: str, end: str | None, now_ns: int) -> tuple[int, int]:
    """First and last instant; raises InvalidArgumentError if there is nothing between them."""
    start_ns, end_ns = to_ns(start, NEW_YORK), _end_ns(end, now_ns)
    if end_ns < start_ns:
        until = f"--end {end}, itself included" if end else "now"
        raise InvalidArgumentError(f"--start {start} is after {until}; give an earlier one")
    return start_ns, end_ns


def _end_ns(text: str | None, now_ns: int) -> int:
    if text is None:
        return now_ns
    end_ns = to_ns(text, NEW_YORK)
    return end_ns if ":" in text else day_end_ns(day_of(end_ns))


def _config(flags: dict[str, Any]) -> Config:
    return from_file(flags["config_path"])[0]


def _account(flags: dict[str, Any]) -> str | None:
    """The account that the backfiller would use; None without a key, which is not needed here."""
    config = _config(flags)
    try:
        return account_of(config.resolve_key())
    except ConfigError:
        return None


def _vendor(flags: dict[str, Any]) -> AbstractContextManager[RestClient | None]:
    if not flags["ask_vendor"]:
        return nullcontext()
    clock, config = SystemClock(), _config(flags)
    key = config.resolve_key()
    return RestClient(
        config.base_url,
        key,
        clock=clock,
        limiter=limiter_for(config, key, clock),
        stop=threading.Event(),
        limits=Limits(page_rows=config.backfill_batch_size),
    )


def _counted(
    found: Iterable[Hole], counts: Counter[Reason], absent: Mapping[str, set[Reason]]
) -> Iterator[Hole]:
    for hole in found:
        counts[hole.reason] += hole.count
        if hole.symbol in absent:
            absent[hole.symbol].add(hole.reason)
        yield hole


def _say_absent(absent: Mapping[str, set[Reason]]) -> None:
    """Name symbols without a bucket, by why their bars are missing: they may be misspelled."""
    lacking = {symbol for symbol, reasons in absent.items() if reasons}
    asked = {symbol for symbol in lacking if absent[symbol] <= _VENDOR_HAS_NOTHING}
    say_empty(sorted(asked))
    say_empty(sorted(lacking - asked), "the store has")


def _is_shown(hole: Hole, flags: dict[str, Any]) -> bool:
    return flags["show_all"] or not hole.reason.is_settled


def _print(found: Iterable[Hole], style: str) -> None:
    if style == "csv":
        click.echo(",".join(_NAMES))
    for hole in found:
        row = (
            hole.symbol,
            format_ns(hole.first_ns),
            format_ns(hole.last_ns),
            hole.count,
            hole.reason.text,
        )
        if style == "json":
            click.echo(msgspec.json.encode(dict(zip(_NAMES, row, strict=True))).decode())
        elif style == "csv":
            click.echo(",".join(f'"{cell}"' if "," in str(cell) else str(cell) for cell in row))
        else:
            click.echo(f"{row[0]:<8} {row[1]}  {row[2]}  {row[3]:>5}  {row[4]}")


def _total(counts: Counter[Reason], grid: Grid, bars: int) -> str:
    if not len(grid.slots):
        return "the market was not open in these hours, so no bar can be missing"
    missing = counts.total()
    days = day_range(*grid.calendar[grid.days[[0, -1]]].tolist())
    parts = [f"{count:,} {reason.text}" for reason, count in counts.most_common()]
    return "; ".join([f"{missing:,} of {bars:,} bars of {days} are missing", *parts])
