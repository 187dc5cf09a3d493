"""One connection with all that belongs to it, which needs no other one to go on.

    feed (this thread and a writer)     the socket into the store, at once
    gap filler (a thread)               what was missed while nothing was connected, by REST
    history (a thread)                  what query_start asks for, by REST

All three write the same rows to the same buckets, and a row that comes twice is stored once, so
none waits for another. While the socket stays down, or if the plan has none, bars are fetched every
minute in place of being streamed. What is missing stands in the store, so that a new start goes on.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsstore.zones import NS_PER_SECOND
from tsstore_massive import outages
from tsstore_massive.backfill import Backfiller
from tsstore_massive.channels import channel_of
from tsstore_massive.errors import NoStreamError
from tsstore_massive.faults import Faults
from tsstore_massive.feed import Feed, Timing
from tsstore_massive.gaps import NO_HISTORY, GapFiller, Stretch
from tsstore_massive.history import History
from tsstore_massive.journal import Journal
from tsstore_massive.jumps import Jumps
from tsstore_massive.lock import KeyLock
from tsstore_massive.missed import Missed, overlap_ns
from tsstore_massive.polling import Polling
from tsstore_massive.protocol import topics
from tsstore_massive.reference.keeper import ReferenceKeeper
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.resume import at_start, today
from tsstore_massive.schemas import BAR_KINDS
from tsstore_massive.sessions import market_open
from tsstore_massive.sink import Sink
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tsstore.plugin import WorkerContext
    from tsstore_massive.lineup import Planned
    from tsstore_massive.rate import RateLimiter
    from tsstore_massive.rest.referencedata import TickerMarket
    from tsstore_massive.schemas import Kind
    from tsstore_massive.symbols import Market

#: What the list of tickers calls the markets that it has.
_LISTS: Mapping[Market, TickerMarket] = {
    "stocks": "stocks",
    "indices": "indices",
    "forex": "fx",
    "crypto": "crypto",
}
_NO_LIST = "nobody lists all contracts; name symbols to have what they missed fetched"
_RATE_PERIOD_S = 0.5
_PRICES_SHOWN_MAX = 100
_THREADS_GRACE_S = 0.5
_POLL_STEP_S = 0.2


@dataclass(frozen=True)
class Patience:
    """Times of the worker in seconds.

    Attributes:
        feed: those of the connection.
        settle_s: how long after a reconnect a gap is fetched, and how far it reaches into the new
            connection: what the vendor's history shows lags behind what streams.
        retry_s: pause before a failed fetch is tried again.
        look_s: how often commands, universes and other connections are looked at.
        sleep_s: a jump of the wall clock that means that this machine slept.
    """

    feed: Timing = field(default_factory=Timing)
    settle_s: float = 3.0
    retry_s: float = 60.0
    look_s: float = 0.5
    sleep_s: float = 60.0


class Line:
    """One connection; also the observer of its feed.

    Args:
        context: what the host gives.
        planned: which connection.
        symbols: as buckets spell them; None for all of the market.
        limiter: of the requests of its key.
        patience: pauses and time-outs.

    Attributes:
        name: of the connection.
        planned: which connection.
        is_carried: whether others stream its symbols meanwhile.
    """

    def __init__(
        self,
        context: WorkerContext,
        planned: Planned,
        symbols: tuple[str, ...] | None,
        *,
        limiter: RateLimiter,
        patience: Patience,
    ) -> None:
        self.name = planned.name
        self.planned = planned
        self.is_carried = False
        self._context = context
        self._config = config = planned.config
        self._patience = patience
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._symbols = symbols
        self._carried = frozenset[str]()
        self._faults = Faults()
        self._missed = Missed()
        clock, logger = context.clock, context.logger
        self._started_ns = self._down_from_ns = clock.now_ns()
        self._streaming_from_ns: int | None = None
        self._down_since: float | None = clock.monotonic()
        self._jumps = Jumps(self._started_ns, clock.monotonic())
        self._polling = Polling(config.poll_after_s)
        self._rate = _Rate()
        self._sink = Sink(context.store, clock, logger)
        self._rest = RestClient(
            config.base_url,
            planned.key,
            clock=clock,
            limiter=limiter,
            stop=self._stop,
            limits=Limits(page_rows=config.backfill_batch_size),
        )
        self._feed = Feed(
            config,
            planned.key,
            self.topics(),
            sink=self._sink,
            observer=self,
            market_open=lambda ns: market_open(config.market, ns),
            faults=self._faults,
            clock=clock,
            logger=logger,
            stop=self._stop,
            timing=patience.feed,
        )
        self._gaps = GapFiller(
            self._backfiller(),
            Journal(context.store, planned.name),
            all_symbols=self._all_symbols,
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
            symbols=self._all_symbols,
            clock=clock,
            logger=logger,
            stop=self._stop,
            retry_s=patience.retry_s,
        )

        self._reference = ReferenceKeeper(
            context.store,
            self._rest,
            config.reference,
            symbols=self._referred,
            clock=clock,
            logger=logger,
            stop=self._stop,
            retry_s=patience.retry_s,
        )

    def run(self) -> None:
        """Stream until stopped.

        Raises:
            FatalPluginError: the server refuses the key.
            LockedError: another worker on this machine uses the key.
            TsStoreError: the store does not take the rows.
        """
        allowed = self._config.connections_allowed
        with KeyLock(self.planned.key, self.planned.place, allowed=allowed):
            self._resume()
            threads = [self._start(self._gaps.run, "massive-gaps")]
            if self._config.starts:
                threads.append(self._start(self._history.run, "massive-history"))
            if self._config.reference:
                threads.append(self._start(self._reference.run, "massive-reference"))
            try:
                self._stream()
            finally:
                self._stop.set()
                self._join(threads)
                self._rest.close()

    def stop(self) -> None:
        """Have `run` return soon; thread-safe."""
        self._stop.set()

    # What others may ask and change; thread-safe.

    @property
    def symbols(self) -> tuple[str, ...] | None:
        """What is streamed, as buckets spell it; None for all of the market."""
        return self._symbols

    def topics(self) -> list[str]:
        """What its own symbols are subscribed to as."""
        return topics(self._config.channels, self._symbols)

    def watch(self, symbols: tuple[str, ...] | None) -> None:
        """Stream other symbols from now on; of new ones, what came today is fetched."""
        with self._lock:
            before, self._symbols = self._symbols, symbols
            self._subscribe()
            if before is None or symbols is None:
                return
            new = tuple(dict.fromkeys(symbols).keys() - set(before))
            if new:
                self._catch_up(tuple(sorted(new)))

    def carry(self, carried: Iterable[str]) -> None:
        """Stream these topics of other connections besides its own."""
        wanted = frozenset(carried)
        with self._lock:
            if wanted != self._carried:
                self._carried = wanted
                self._subscribe()

    def down_s(self) -> float:
        """How long it has not been streaming; 0.0 while it does, or has nothing to stream."""
        since = self._down_since
        if since is None or self._feed.state == "idle":
            return 0.0
        return self._context.clock.monotonic() - since

    # What the feed tells, on its event loop.

    def on_streaming(self) -> None:
        """Have everything fetched that was missed up to now, and a little beyond."""
        with self._lock:
            if self._polling.end():
                self._context.logger.info("%s streams again, no more polling", self._shown_name)
            self._fetch_missed()
            self._streaming_from_ns = self._context.clock.now_ns()
            self._down_since = None
            outages.write(
                self._context.store,
                self._down_from_ns,
                self._streaming_from_ns,
                market=self._config.market,
                connection=self.name,
            )

    def on_lost(self) -> None:
        """From here on everything is missed."""
        with self._lock:
            self._down_since = self._context.clock.monotonic()
            self._down_from_ns = max(self._sink.watermarks.values(), default=self._started_ns)
            self._sink.reconnected()
            for kind in self._config.data_types:
                seen_ns = self._sink.watermarks.get(kind) or self._streaming_from_ns or 0
                self._missed.add(Stretch(kind, self._symbols, seen_ns - overlap_ns(kind)))

    def on_tick(self) -> None:
        """Look at the clocks, fetch what does not stream, count."""
        clock = self._context.clock
        now = clock.monotonic()
        self._rate.note(now, self._sink.events)
        jump_s = self._jumps.look(clock.now_ns(), now)
        if jump_s >= self._patience.sleep_s:
            self._context.logger.warning(
                "the clock went on by %.0f s at once, as after a sleep; connecting anew", jump_s
            )
            self._feed.renew()
        self._poll([kind for kind in self._config.data_types if kind in BAR_KINDS])

    # Parts.

    def _stream(self) -> None:
        try:
            self._feed.run()
        except NoStreamError as error:
            if not self._config.poll_after_s:
                raise
            self._context.logger.error("%s; bars and ticks are fetched every minute", error)  # noqa: TRY400
            self._feed.state, self._feed.alarm = "polling", str(error)
            self._polling.begin()
            while not self._context.clock.wait(self._stop, _POLL_STEP_S):
                self._poll(self._config.data_types)

    def _resume(self) -> None:
        self._gaps.resume(self._config.data_types)
        if self._config.ws_query_start is not None:
            return  # a replay goes on from nowhere
        start = at_start(self._context.store, self._config, self._symbols, self._started_ns)
        self._missed.add(*start.missed)
        self._down_from_ns = start.seen_ns or self._started_ns
        self._gaps.add(*start.given_up)

    def _poll(self, kinds: Iterable[Kind]) -> None:
        """Fetch what is missed by now, once a minute, while the connection is down for long."""
        clock = self._context.clock
        now_ns = clock.now_ns()
        if self.is_carried or not self._polling.is_due(self.down_s(), now_ns):
            return
        wanted = [kind for kind in kinds if self._has_history(kind)]
        if self._polling.rounds == 1:
            self._context.logger.warning(
                "%s has not streamed for %.0f s; until it does, %s are fetched every minute",
                self._shown_name,
                self.down_s(),
                " and ".join(wanted) or "no rows",
            )
            self._miss_from_start(wanted)
        self._gaps.add(*self._missed.so_far(wanted, now_ns))

    def _miss_from_start(self, kinds: Iterable[Kind]) -> None:
        """A whole market is fetched from the start on only if it does not stream soon."""
        if self._symbols is None and self._streaming_from_ns is None:
            for kind in kinds:
                self._missed.add(Stretch(kind, None, self._started_ns - overlap_ns(kind)))

    def _catch_up(self, symbols: tuple[str, ...]) -> None:
        self._missed.add(*today(self._config.data_types, symbols, self._context.clock.now_ns()))
        if self._down_since is None:
            self._fetch_missed()

    def _fetch_missed(self) -> None:
        clock, settle_s = self._context.clock, self._patience.settle_s
        end_ns = clock.now_ns() + round(settle_s * NS_PER_SECOND)
        missed = self._missed.take(end_ns, clock.monotonic() + settle_s)
        self._gaps.add(*(self._to_fetch(stretch) for stretch in missed))

    def _to_fetch(self, stretch: Stretch) -> Stretch:
        """The stretch, given up if nobody but the socket tells such rows."""
        if not self._has_history(stretch.kind):
            return stretch.given_up(stretch.end_ns, NO_HISTORY)
        if stretch.symbols is None and self._config.market not in _LISTS:
            return stretch.given_up(stretch.end_ns, _NO_LIST)
        return stretch

    def _has_history(self, kind: Kind) -> bool:
        return channel_of(self._config.market, kind).has_history

    def _subscribe(self) -> None:
        self._feed.subscribe(_narrowed([*self.topics(), *sorted(self._carried)]))

    def _all_symbols(self) -> tuple[str, ...]:
        """All symbols that are wanted, as buckets spell them."""
        symbols, market = self._symbols, self._config.market
        if symbols is not None:
            return symbols
        listed = self._rest.tickers(_LISTS[market]) if market in _LISTS else ()
        return tuple(filter(None, (bucket_symbol(name, market) for name in listed)))

    def _referred(self) -> tuple[str, ...] | None:
        """Whose reference data are kept; None for every stock, nobody's of a whole other market."""
        if self._symbols is None and self._config.market != "stocks":
            return ()
        return self._symbols

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
        except Exception as error:  # noqa: BLE001  (raised again by the feed, on the line's thread)
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

    # What people see.

    @property
    def _shown_name(self) -> str:
        return f"connection {self.name}" if self.name else "the connection"

    def describe(self) -> dict[str, Any]:
        """How it fares, as JSON values."""
        sink, feed = self._sink, self._feed
        gap_count, gaps = self._gaps.describe()
        missing, missing_days = self._history.gaps()
        seen, symbols = feed.last_message, self._symbols
        now = self._context.clock.monotonic()
        return {
            "state": self._state(),
            "alarm": self._alarm(),
            "refused": feed.refusal,
            "symbols": None if symbols is None else len(symbols),
            "carried": len(self._carried),
            "down_s": round(self.down_s(), 1),
            "last_message_age_s": None if seen is None else round(now - seen, 1),
            "connections": feed.connections,
            "failures": feed.failures,
            "polls": self._polling.rounds,
            "messages": sink.events,
            "events_per_s": self._rate.per_s,
            "rows": sink.rows,
            "commits": sink.commits,
            "lag_ms": sink.lag_ms,
            "queue": len(feed.intake),
            "queue_pauses": feed.intake.pauses,
            "faults": dict(self._faults.counts),
            "rest_faults": self._rest.faults,
            "quota": self._rest.quota,
            "misfits": sorted(sink.misfits),
            "gaps": gaps + missing_days,
            "gap_count": gap_count + missing,
            "backfill": self._history.describe(),
            "reference": self._reference.describe(),
            "last": self._prices(),
        }

    def _state(self) -> str:
        if self.is_carried:
            return "carried"
        return "polling" if self._polling.is_on else self._feed.state

    def _alarm(self) -> str:
        alarms = [self._feed.alarm]
        if self.is_carried:
            alarms.append(f"not streaming for {self.down_s():.0f} s; another one carries it")
        elif self._polling.is_on and self.down_s():
            alarms.append(f"not streaming for {self.down_s():.0f} s; bars are fetched by REST")
        return "; ".join(filter(None, alarms))

    def _prices(self) -> dict[str, float]:
        prices = self._sink.prices.copy()
        names = self._symbols or tuple(prices)
        return {name: prices[name] for name in names[:_PRICES_SHOWN_MAX] if name in prices}


def _narrowed(wanted: list[str]) -> list[str]:
    """The topics without those that `T.*` takes in."""
    wide = {topic.partition(".")[0] for topic in wanted if topic.endswith(".*")}
    return [t for t in dict.fromkeys(wanted) if t.endswith(".*") or t.partition(".")[0] not in wide]


class _Rate:
    """Events per second between two looks."""

    def __init__(self) -> None:
        self.per_s = 0
        self._at = float("-inf")
        self._events = 0

    def note(self, now: float, events: int) -> None:
        if now - self._at >= _RATE_PERIOD_S:
            self.per_s = round((events - self._events) / (now - self._at))
            self._at, self._events = now, events
