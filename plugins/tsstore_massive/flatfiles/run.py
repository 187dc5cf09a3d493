"""A run as commands do it: what is to be loaded, and what the user is told."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from tsstore.errors import ConfigError, InvalidArgumentError
from tsstore_massive.backfilling.display import State, make_display
from tsstore_massive.backfilling.summary import say_empty
from tsstore_massive.flatfiles.archive import Archive
from tsstore_massive.flatfiles.covering import flat_set_of
from tsstore_massive.flatfiles.credentials import find_access
from tsstore_massive.flatfiles.fallback import Context
from tsstore_massive.flatfiles.memory import share_one_heap
from tsstore_massive.flatfiles.planning import Span
from tsstore_massive.flatfiles.providers import find_provider
from tsstore_massive.flatfiles.remote import Remote
from tsstore_massive.flatfiles.selection import Selection
from tsstore_massive.flatfiles.strangers import noted
from tsstore_massive.flatfiles.sync import Sync
from tsstore_massive.opening import open_for_history
from tsstore_massive.sessions import day_of
from tsstore_massive.symbols import market_of
from tsstore_massive.texts import counted, day_range

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from tsstore.api import StoreApi
    from tsstore.client import RemoteStore
    from tsstore.clock import Clock
    from tsstore.store import Store
    from tsstore_massive.backfilling.display import Bars, Lines
    from tsstore_massive.backfilling.options import Options as BackfillOptions
    from tsstore_massive.config import Config
    from tsstore_massive.datasets import Dataset
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.fallback import Fallback
    from tsstore_massive.flatfiles.planning import Missing, Plan
    from tsstore_massive.flatfiles.sync import Progress, Report

_SHOWN = 20
_HEADINGS = {
    "pending": "not yet available; run the same command again later",
    "denied": "not in the plan of these keys",
    "absent": "without a file",
    "failed": "failed; run the same command again to fetch them",
}
_OFFLINE_HEADINGS = {**_HEADINGS, "failed": "failed; get their files anew"}


@dataclass(frozen=True)
class Options:
    """Everything a run needs to know.

    Attributes:
        spans: data sets and their days.
        selection: the wanted tickers.
        directory: of the store.
        timezone: of the store; None for the one it has.
        archive: where the files are kept.
        config: how to reach REST.
        keep: whether files stay in the archive once they are loaded.
        offline: whether only files of the archive are loaded.
        reload: whether days are loaded again that were loaded before.
        dry_run: whether nothing is to be fetched or stored.
        fallback: where days come from that are not yet available, see `providers`; None for
            nowhere.
        connections: ranges fetched at a time.
        profile: see `find_access`, as `endpoint` and `bucket`.
        endpoint: URL of the S3 service.
        bucket: name of the S3 bucket.
    """

    spans: list[Span]
    selection: Selection
    directory: Path
    timezone: str | None
    archive: Path
    config: Config
    keep: bool = True
    offline: bool = False
    reload: bool = False
    dry_run: bool = False
    fallback: str | None = None
    connections: int = 32
    profile: str | None = None
    endpoint: str | None = None
    bucket: str | None = None


def default_archive(directory: Path) -> Path:
    """Where files are kept that are loaded into the store of a directory: beside it."""
    return directory.with_name(directory.resolve().name + ".flatfiles")


def options_of(options: BackfillOptions, today: date) -> Options:
    """What `massive_backfiller --source flatfiles` asks for.

    Args:
        options: of the backfiller.
        today: in New York; there are files up to the day before.

    Raises:
        ConfigError: bars of a length that there are no files of.
        InvalidArgumentError: days that there are no files of yet.
    """
    yesterday = today - timedelta(days=1)
    for target in options.targets:
        if target.first > yesterday:
            raise InvalidArgumentError(
                f"{target.dataset} from {target.first}: there are flat files of the days before "
                f"today in New York ({today}); leave out --source flatfiles"
            )
    markets = sorted({market_of(symbol) for symbol in options.symbols})
    spans = [
        Span(_flat_set(target.dataset.of(market)), target.first, min(target.last, yesterday))
        for target in options.targets
        for market in markets
    ]
    return options_for(options, spans, Selection(options.symbols))


def options_for(options: BackfillOptions, spans: list[Span], selection: Selection) -> Options:
    """The options of a load of these spans on behalf of the backfiller."""
    return Options(
        spans,
        selection,
        options.directory,
        options.timezone,
        options.archive or default_archive(options.directory),
        options.config,
        reload=options.refetch,
        dry_run=options.dry_run,
        profile=options.profile,
        endpoint=options.endpoint,
        bucket=options.bucket,
    )


def _flat_set(dataset: Dataset) -> FlatSet:
    flat = flat_set_of(dataset)
    if flat is None:
        raise ConfigError(
            f"there are no flat files of {dataset} of {dataset.market}; of bars there are 1Min and "
            "1D only. Leave out --source flatfiles, or have the store compute bars from 1Min"
        )
    return flat


def load(options: Options, clock: Clock, stop: threading.Event) -> bool:
    """Do it, and say how it went.

    Returns:
        Whether there is nothing that could not be had.

    Raises:
        TsStoreError: keys, service, archive or store cannot be used.
    """
    share_one_heap()
    today = day_of(clock.now_ns())
    is_read = options.offline and (options.keep or options.dry_run)
    archive = Archive(options.archive, read_only=is_read)
    with (
        _remote(options, stop) as remote,
        nullcontext() if options.dry_run and not options.offline else archive.locked(),
        open_for_history(options.directory, options.timezone, dry_run=options.dry_run) as store,
        _fallback(options, store, clock, stop) as fallback,
        make_display(sys.stderr, clock) as display,
    ):
        sync = sync_of(options, store, archive, remote, clock, stop)
        plan = sync.plan(options.spans, options.selection, reload=options.reload)
        announce(plan)
        if options.dry_run:
            return True
        report = carry_out(sync, plan, options.directory, clock, display)
        missing = report.missing
        is_whole = not report.misfits and all(each.reason == "pending" for each in missing)
        pending = [each for each in missing if each.reason == "pending"]
        if fallback is not None and pending and not stop.is_set():
            is_whole = _fill(options, store, plan, fallback, pending, today) and is_whole
        has_files = plan.days > len(missing) - len(plan.missing)
        absent = _without_rows(options, store) if has_files and not stop.is_set() else []
        say_empty(absent, "the loaded files have")
        return is_whole and not (
            options.selection.is_exact and absent == [*options.selection.names]
        )


def sync_of(
    options: Options,
    store: Store | RemoteStore,
    archive: Archive,
    remote: Remote | None,
    clock: Clock,
    stop: threading.Event,
) -> Sync:
    """What brings the files of these options into a store."""
    return Sync(
        store,
        archive,
        remote,
        clock=clock,
        stop=stop,
        timezone=store.timezone,  # the options may name none
        keep=options.keep,
    )


def carry_out(
    sync: Sync, plan: Plan, directory: Path, clock: Clock, display: Bars | Lines
) -> Report:
    """Load the files of a plan, showing how far it is, and say how it went."""
    started = clock.monotonic()
    show = display.part("flat files", "days", len(plan.wanted))
    report = sync.run(plan, progress=lambda now: show(_state(now)))
    _summarise(report, plan, clock.monotonic() - started, directory)
    return report


def _without_rows(options: Options, store: StoreApi) -> list[str]:
    """Tickers that are named, and of which the store has none of the rows."""
    names = [(name, market_of(name)) for name in options.selection.names]
    flats = {span.flat for span in options.spans}
    held = {key.partition("/")[0] for flat in flats for key in store.list(f"*/{flat.group}")}
    markets = {flat.market for flat in flats}
    return [name for name, market in names if market in markets and name not in held]


def _fill(
    options: Options,
    store: Store | RemoteStore,
    plan: Plan,
    fallback: Fallback,
    pending: list[Missing],
    today: date,
) -> bool:
    """Have the days that are not yet available from elsewhere; whether all of them came."""
    name = (options.fallback or "").replace("rest", "REST")
    is_vendor = options.fallback == "rest"
    with nullcontext() if is_vendor else noted(store, plan, pending, name, today):
        filled = fallback.fill(pending, options.selection)
    click.echo(f"stored {filled.rows:,} rows of {len(pending):,} of these days by {name} meanwhile")
    _list("missing there as well", filled.gaps)
    return not filled.gaps


@contextmanager
def _fallback(
    options: Options,
    store: Store | RemoteStore,
    clock: Clock,
    stop: threading.Event,
) -> Iterator[Fallback | None]:
    if options.fallback is None:
        yield None
        return
    provider = find_provider(options.fallback)
    with provider(Context(store, options.config, clock, stop)) as fallback:
        for span in options.spans:
            fallback.check(span.flat)
        yield fallback


def _remote(options: Options, stop: threading.Event) -> Remote | nullcontext[None]:
    if options.offline:
        return nullcontext()
    access = find_access(profile=options.profile, endpoint=options.endpoint, bucket=options.bucket)
    return Remote(access, connections=options.connections, stop=stop)


def announce(plan: Plan) -> None:
    """Say what a plan is going to do."""
    if plan.wanted:
        days = [each.day for each in plan.wanted]
        click.echo(
            f"{counted(len(days), 'day')} to load, {day_range(min(days), max(days))}; "
            f"{plan.fetch_bytes / 1e6:,.1f} MB to fetch"
        )
    else:
        click.echo("nothing to load")
    if plan.loaded_days:
        click.echo(
            f"{counted(plan.loaded_days, 'day was', 'days were')} loaded before and left out"
        )
    if plan.covered_days:
        click.echo(
            f"{counted(plan.covered_days, 'day was', 'days were')} fetched by REST before "
            "and left out"
        )


def _state(progress: Progress) -> State:
    fetched = ""
    if progress.total_bytes:
        fetched = f"{progress.bytes / 1e6:,.0f} of {progress.total_bytes / 1e6:,.0f} MB"
    return State(progress.days, progress.rows, fetched)


def _summarise(report: Report, plan: Plan, seconds: float, directory: Path) -> None:
    done = report.progress
    if plan.wanted:
        click.echo(
            f"stored {counted(done.rows, 'row')} of {counted(report.loaded, 'day')} "
            f"in {seconds:.1f} s ({done.rows / max(seconds, 1e-3):,.0f} rows/s) in {directory}"
        )
    for what, count in sorted(report.faults.items()):
        click.echo(f"{count:,} times: {what}", err=True)
    for told in report.misfits:
        click.echo(told, err=True)
    headings = _OFFLINE_HEADINGS if plan.is_offline else _HEADINGS
    for reason, heading in headings.items():
        _list(heading, [str(each) for each in report.missing if each.reason == reason])


def _list(heading: str, lines: list[str]) -> None:
    if not lines:
        return
    click.echo(f"{counted(len(lines), 'day')} {heading}:", err=True)
    for line in lines[:_SHOWN]:
        click.echo(f"  {line}", err=True)
    if len(lines) > _SHOWN:
        click.echo(f"  and {len(lines) - _SHOWN:,} more", err=True)
