"""A backfill as the command does it: what it costs, where it comes from, and how it went."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from tsstore.key import is_pattern
from tsstore_massive.backfilling.backfill import PARALLELISM_MAX, Backfiller
from tsstore_massive.backfilling.display import State, make_display
from tsstore_massive.backfilling.dryrun import say_estimates
from tsstore_massive.backfilling.estimate import Estimator
from tsstore_massive.backfilling.summary import say_empty, say_plan, summarise
from tsstore_massive.commandline import source_of
from tsstore_massive.listing import resolve_symbols
from tsstore_massive.opening import open_for_history
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import limiter_for, quota_text
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from tsstore.api import StoreApi
    from tsstore.client import RemoteStore
    from tsstore.clock import Clock
    from tsstore.store import Store
    from tsstore_massive.backfilling.display import Bars, Lines
    from tsstore_massive.backfilling.options import Options
    from tsstore_massive.backfilling.plan import Plan
    from tsstore_massive.backfilling.report import Progress, Report

# Whoever has mistyped the address, or has no network, learns of it within seconds.
_FIRST_ATTEMPTS = 3


def backfill(options: Options, clock: Clock, stop: threading.Event) -> bool:
    """Fetch what the options ask for, and say how it went.

    Returns:
        Whether nothing failed.

    Raises:
        TsStoreError: key, service or store cannot be used.
    """
    config, synthetic = source_of(options.config, dry_run=options.dry_run)
    # A simulator has no flat files, and those of the vendor are real.
    source = "rest" if synthetic else options.source
    options = replace(options, config=config, source=source)
    key = config.resolve_key()
    limits = Limits(page_rows=config.backfill_batch_size, first_attempts=_FIRST_ATTEMPTS)
    with (
        RestClient(
            config.base_url, key,
            clock=clock, limiter=limiter_for(config, key, clock), stop=stop, limits=limits,
        ) as rest,
        open_for_history(
            options.directory, options.timezone, synthetic=synthetic, dry_run=options.dry_run
        ) as store,
        make_display(sys.stderr, clock) as display,
    ):  # fmt: skip
        return _Command(options, clock, stop, rest, store, display).run()


class _Command:
    def __init__(
        self,
        options: Options,
        clock: Clock,
        stop: threading.Event,
        rest: RestClient,
        store: Store | RemoteStore,
        display: Bars | Lines,
    ) -> None:
        self._options = options
        self._clock = clock
        self._stop = stop
        self._rest = rest
        self._store = store
        self._display = display
        config = options.config
        self._backfiller = Backfiller(
            store,
            rest,
            clock=clock,
            stop=stop,
            adjusted=config.backfill_adjusted,
            parallelism=config.backfill_parallelism,
            timezone=store.timezone,  # the options may name none
            requests_per_minute=config.requests_per_minute,
        )

    def run(self) -> bool:
        options = self._options
        if options.ask_again:
            self._backfiller.forget_refusals()
        symbols = resolve_symbols(options.symbols, self._store, self._rest, self._clock)
        plan = self._plan(symbols)
        if options.source == "auto" and self._files(plan, symbols) and not self._stop.is_set():
            plan = self._plan(symbols)
        say_plan(plan)
        if options.dry_run:
            self._say_costs(plan)
            return True
        show = self._display.part("backfill", "symbol-days", plan.total_days)
        report = self._backfiller.run(plan, progress=lambda now: show(_state(now)))
        if plan.total_days:
            click.echo(quota_text(self._rest.quota))
        is_whole = summarise(report, plan, options.directory, self._clock.now_ns())
        empty = [] if report.stopped else self._without_rows(symbols, report)
        say_empty(empty)
        return is_whole and not (empty and empty == symbols)

    def _without_rows(self, symbols: list[str], report: Report) -> list[str]:
        """Named symbols of which the vendor has nothing, as this run or an earlier one found."""
        open_ends = {gap.symbol for gap in report.gaps if gap.refused != "timeframe"}
        if any(map(is_pattern, open_ends)):  # a day of the market, which may have any of them
            return []
        targets = self._options.targets
        held = _held(self._store, {target.dataset.group for target in targets})
        named = {bucket_symbol(text) for text in self._options.symbols} - held - open_ends
        unknown = [symbol for symbol in symbols if symbol in named]
        empty = {*report.empty_symbols, *self._backfiller.without_rows(targets, unknown)}
        return [symbol for symbol in unknown if symbol in empty]

    def _plan(self, symbols: list[str]) -> Plan:
        options = self._options
        return self._backfiller.plan(options.targets, symbols, refetch=options.refetch)

    def _estimator(self, rest: RestClient | None) -> Estimator:
        page_rows = self._options.config.backfill_batch_size
        return Estimator(self._store, rest, clock=self._clock, page_rows=page_rows)

    def _say_costs(self, plan: Plan) -> None:
        config = self._options.config
        parallelism = config.backfill_parallelism or PARALLELISM_MAX // 2
        say_estimates(
            self._estimator(self._rest).estimate(plan),
            plan.covered_days,
            config.requests_per_minute,
            parallelism,
            config.requests_per_day,
        )

    def _files(self, plan: Plan, symbols: list[str]) -> bool:
        """Load what is quicker by flat files; whether anything was loaded."""
        from tsstore_massive.flatfiles.choosing import access_for, load_chosen  # slow to import

        access = access_for(self._options)
        if access is None:
            return False
        estimates = self._estimator(None).estimate(plan)
        return load_chosen(
            access,
            self._store,
            self._options,
            symbols,
            estimates,
            clock=self._clock,
            stop=self._stop,
            display=self._display,
        )


def _held(store: StoreApi, groups: Iterable[str]) -> set[str]:
    """The symbols of which the store has buckets of some groups."""
    return {key.partition("/")[0] for group in groups for key in store.list(f"*/{group}")}


def _state(progress: Progress) -> State:
    failed = f"{progress.failed_days:,} failed" if progress.failed_days else ""
    return State(progress.days, progress.rows, failed)
