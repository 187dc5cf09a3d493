"""The bgworker: streams, fills what was missed, fetches history, and says how it fares.

    feed (this thread and a writer)     the socket into the store, at once
    gap filler (a thread)               what was missed while nothing was connected, by REST
    history (a thread)                  what query_start asks for, by REST

All three write the same rows to the same buckets, and a row that comes twice is stored once, so
none waits for another. Nothing is remembered outside the store: a new start goes on from what the
store holds, and with the gaps that are written down there.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsstore.errors import NotFoundError
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND
from tsstore_massive.backfill import Backfiller
from tsstore_massive.channels import channel_of
from tsstore_massive.config import Config as MassiveConfig
from tsstore_massive.datasets import Dataset
from tsstore_massive.faults import Faults
from tsstore_massive.feed import Feed, Timing
from tsstore_massive.gaps import NO_HISTORY, GapFiller, Stretch
from tsstore_massive.history import History
from tsstore_massive.journal import Journal
from tsstore_massive.lock import KeyLock
from tsstore_massive.rate import limiter_for
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.schemas import BAR_KINDS, STREAM_GROUPS
from tsstore_massive.sessions import MarketCalendar, day_of
from tsstore_massive.sink import Sink
from tsstore_massive.symbols import market_of
from tsstore_massive.synthetic import source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsstore.plugin import WorkerContext
    from tsstore_massive.schemas import Kind

#: Late trades change the bars of this long.
_BARS_OVERLAP_NS = 15 * 60 * NS_PER_SECOND
#: Ticks of one instant may arrive out of order.
_TICKS_OVERLAP_NS = 10 * NS_PER_SECOND
#: A start goes on from rows not older than this. What is older was no short stop, and a long
#: history is fetched because somebody asks for it.
RESUME_NS_MAX = 7 * NS_PER_DAY
#: Symbols whose last rows are this close are fetched together.
_RESUME_GRID_NS = 15 * 60 * NS_PER_SECOND
_STATUS_PERIOD_S = 0.5
_PRICES_SHOWN_MAX = 100
_THREADS_GRACE_S = 0.5


@dataclass(frozen=True)
class Patience:
    """Times of the worker in seconds.

    Attributes:
        feed: those of the connection.
        settle_s: how long after a reconnect a gap is fetched, and how far it reaches into the new
            connection: what the vendor's history shows lags behind what streams.
        retry_s: pause before a failed fetch is tried again.
    """

    feed: Timing = field(default_factory=Timing)
    settle_s: float = 3.0
    retry_s: float = 60.0


class Worker:
    """Streams Massive's market data into the store.

    Args:
        context: what the host gives.
        config: the options in mkts.yml.
        patience: pauses and time-outs.
    """

    Config = MassiveConfig

    def __init__(
        self, context: WorkerContext, config: MassiveConfig, *, patience: Patience | None = None
    ) -> None:
        self._context = context
        self._config = config
        self._patience = patience or Patience()

    def run(self) -> None:
        """Work until the context's stop event is set.

        Raises:
            ConfigError: there is no API key.
            FatalPluginError: the server refuses the key, or the directory holds synthetic rows and
                these are real, or the other way round.
            LockedError: another worker on this machine uses the key.
            TsStoreError: the store does not take the rows.
        """
        with source(self._context, self._config) as (context, config):
            key = config.resolve_key()
            with KeyLock(key, config.stream_url):
                _Run(context, config, key, self._patience).work()


class _Run:
    """One run of the worker; also the observer of its feed."""

    def __init__(
        self, context: WorkerContext, config: MassiveConfig, key: str, patience: Patience
    ) -> None:
        self._context = context
        self._config = config
        self._patience = patience
        self._stop = threading.Event()
        self._calendar = MarketCalendar()
        self._faults = Faults()
        self._missed: list[Stretch] = []
        self._streaming_from_ns = 0
        self._rate = _Rate()
        clock, logger = context.clock, context.logger
        self._sink = Sink(context.store, clock, logger)
        self._rest = RestClient(
            config.base_url,
            key,
            clock=clock,
            limiter=limiter_for(config, key, clock),
            stop=self._stop,
            limits=Limits(page_rows=config.backfill_batch_size),
        )
        self._feed = Feed(
            config,
            key,
            sink=self._sink,
            observer=self,
            market_open=self._market_open,
            faults=self._faults,
            clock=clock,
            logger=logger,
            stop=self._stop,
            timing=patience.feed,
        )
        self._gaps = GapFiller(
            self._backfiller(),
            Journal(context.store),
            all_symbols=self._symbols,
            before_fill=self._sink.keep_bars,
            before_symbol=self._sink.forget_bars,
            after_fill=self._sink.repeat_bars,
            clock=clock,
            logger=logger,
            stop=self._stop,
            retry_s=patience.retry_s,
        )
        self._history = History(
            config,
            self._backfiller(),
            symbols=self._symbols,
            clock=clock,
            logger=logger,
            stop=self._stop,
            retry_s=patience.retry_s,
        )

    def work(self) -> None:
        """Stream until stopped."""
        self._gaps.resume(self._config.data_types)
        if self._config.ws_query_start is None:  # a replay goes on from nowhere
            self._missed = [*self._to_resume(), *self._before_streaming()]
        threads = [self._start(self._gaps.run, "massive-gaps")]
        if self._config.starts:
            threads.append(self._start(self._history.run, "massive-history"))
        try:
            self._feed.run()
        finally:
            self._stop.set()
            self._join(threads)
            self._rest.close()
            self._show_status()

    # What the feed tells, on its event loop.

    def on_streaming(self) -> None:
        """Have everything fetched that was missed up to now, and a little beyond."""
        settle_s = self._patience.settle_s
        now_ns = self._context.clock.now_ns()
        end_ns = now_ns + round(settle_s * NS_PER_SECOND)
        not_before = self._context.clock.monotonic() + settle_s
        missed, self._missed = self._missed, []
        self._gaps.add(*(self._to_fetch(s.until(end_ns, not_before)) for s in missed))
        self._streaming_from_ns = now_ns

    def on_lost(self) -> None:
        """From here on everything is missed."""
        self._sink.reconnected()
        symbols = self._config_symbols()
        for kind in self._config.data_types:
            seen_ns = self._sink.watermarks.get(kind, self._streaming_from_ns)
            self._missed.append(Stretch(kind, symbols, seen_ns - _overlap_ns(kind)))

    def on_tick(self) -> None:
        """Pass the host's stop on, and show how it fares."""
        if self._context.stop.is_set():
            self._stop.set()
        now = self._context.clock.monotonic()
        if self._rate.is_due(now):
            self._rate.note(now, self._sink.events)
            self._show_status()

    # Parts.

    def _start(self, work: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
        thread.start()
        return thread

    def _join(self, threads: list[threading.Thread]) -> None:
        """Wait a little; a thread that waits for the vendor is left behind and stores nothing."""
        clock = self._context.clock
        deadline = clock.monotonic() + _THREADS_GRACE_S
        for thread in threads:
            thread.join(max(0.0, deadline - clock.monotonic()))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  (raised again by the feed, on the worker's thread)
            if not self._stop.is_set():
                self._feed.fail(error)

    def _backfiller(self) -> Backfiller:
        config, context = self._config, self._context
        return Backfiller(
            context.store,
            self._rest,
            clock=context.clock,
            stop=self._stop,
            adjusted=config.backfill_adjusted,
            parallelism=config.backfill_parallelism,
            requests_per_minute=config.requests_per_minute,
            timezone=context.timezone,
        )

    def _config_symbols(self) -> tuple[str, ...] | None:
        return None if self._config.all_symbols else self._config.bucket_symbols

    def _symbols(self) -> tuple[str, ...]:
        """All symbols that are wanted."""
        return self._config_symbols() or tuple(self._rest.tickers())

    def _market_open(self, ns: int) -> bool:
        session = self._calendar.session(day_of(ns))
        return session is not None and session.open_ns <= ns < session.close_ns

    def _to_fetch(self, stretch: Stretch) -> Stretch:
        """The stretch, given up if only the socket tells such rows."""
        if channel_of(self._config.market, stretch.kind).has_history:
            return stretch
        return stretch.given_up(stretch.end_ns, NO_HISTORY)

    # Where an earlier run left off.

    def _to_resume(self) -> list[Stretch]:
        stretches = []
        oldest_ns = self._context.clock.now_ns() - RESUME_NS_MAX
        for kind in self._config.data_types:
            together: dict[int, list[str]] = {}
            for symbol, last_ns in self._last_stored(kind):
                together.setdefault(last_ns // _RESUME_GRID_NS, []).append(symbol)
            starts = {cell: cell * _RESUME_GRID_NS - _overlap_ns(kind) for cell in together}
            recent = [cell for cell, start_ns in starts.items() if start_ns >= oldest_ns]
            stretches += [Stretch(kind, tuple(together[cell]), starts[cell]) for cell in recent]
            if not self._is_history(kind):
                self._give_up(kind, {starts[c]: together[c] for c in together if c not in recent})
        return stretches

    def _before_streaming(self) -> list[Stretch]:
        """From the start on: the history of today may be fetched before anything streams."""
        now_ns, symbols = self._context.clock.now_ns(), self._config_symbols()
        kinds = [kind for kind in self._config.data_types if self._is_history(kind)]
        return [Stretch(kind, symbols, now_ns - _overlap_ns(kind)) for kind in kinds]

    def _give_up(self, kind: Kind, symbols_by_start: dict[int, list[str]]) -> None:
        """Show what is too old to be fetched without being asked for."""
        if not symbols_by_start:
            return
        symbols = sorted(symbol for some in symbols_by_start.values() for symbol in some)
        stretch = Stretch(kind, tuple(symbols), min(symbols_by_start))
        self._gaps.add(stretch.given_up(self._context.clock.now_ns(), _TOO_OLD))

    def _last_stored(self, kind: Kind) -> Iterable[tuple[str, int]]:
        """Symbols that the store has rows of, each with the time of the last one."""
        store, group = self._context.store, STREAM_GROUPS[kind]
        symbols = self._config_symbols()
        if symbols is None:
            stored = (key.partition("/")[0] for key in store.list(f"*/{group}"))
            symbols = tuple(s for s in stored if market_of(s) == self._config.market)
        for symbol in symbols:
            try:
                last_ns = store.info(f"{symbol}/{group}").last_ns
            except NotFoundError:
                continue
            if last_ns is not None:
                yield symbol, last_ns

    def _is_history(self, kind: Kind) -> bool:
        """Whether the history covers everything up to now anyway."""
        streamed = Dataset.of_stream(kind)
        return any(Dataset.parse(name) == streamed for name in self._config.starts)

    # What people see.

    def _show_status(self) -> None:
        sink, feed = self._sink, self._feed
        gap_count, gaps = self._gaps.describe()
        missing, missing_days = self._history.gaps()
        self._context.status.update(
            state=feed.state,
            alarm=feed.alarm,
            refused=feed.refusal,
            connections=feed.connections,
            messages=sink.events,
            events_per_s=self._rate.per_s,
            rows=sink.rows,
            commits=sink.commits,
            lag_ms=sink.lag_ms,
            queue=len(feed.intake),
            queue_pauses=feed.intake.pauses,
            faults=dict(self._faults.counts),
            rest_faults=self._rest.faults,
            quota=self._rest.quota,
            misfits=sorted(sink.misfits),
            gaps=gaps + missing_days,
            gap_count=gap_count + missing,
            backfill=self._history.describe(),
            last=self._prices(),
        )

    def _prices(self) -> dict[str, float]:
        prices = self._sink.prices.copy()
        names = self._config_symbols() or tuple(prices)
        return {name: prices[name] for name in names[:_PRICES_SHOWN_MAX] if name in prices}


def _overlap_ns(kind: Kind) -> int:
    return _BARS_OVERLAP_NS if kind in BAR_KINDS else _TICKS_OVERLAP_NS


_TOO_OLD = "the last rows are more than 7 days old; fetch the rest with massive_backfiller"


class _Rate:
    """Events per second between two looks."""

    def __init__(self) -> None:
        self.per_s = 0
        self._at = float("-inf")
        self._events = 0

    def is_due(self, now: float) -> bool:
        return now - self._at >= _STATUS_PERIOD_S

    def note(self, now: float, events: int) -> None:
        self.per_s = round((events - self._events) / (now - self._at))
        self._at, self._events = now, events
