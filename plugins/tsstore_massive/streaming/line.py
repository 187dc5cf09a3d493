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
from typing import TYPE_CHECKING, Any

from tsstore_massive.backfilling.backfill import Backfiller
from tsstore_massive.backfilling.history import History
from tsstore_massive.errors import NoStreamError
from tsstore_massive.faults import Faults
from tsstore_massive.listing import LISTED
from tsstore_massive.missing.catchup import CatchUp
from tsstore_massive.missing.gaps import GapFiller
from tsstore_massive.missing.journal import Journal
from tsstore_massive.missing.resume import came_lately
from tsstore_massive.reference.keeper import ReferenceKeeper
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.schemas import BAR_KINDS
from tsstore_massive.sessions import market_open
from tsstore_massive.streaming.feed import Feed
from tsstore_massive.streaming.helpers import Helpers
from tsstore_massive.streaming.jumps import Jumps
from tsstore_massive.streaming.linestatus import LineStatus
from tsstore_massive.streaming.lock import KeyLock
from tsstore_massive.streaming.protocol import narrowed, topics
from tsstore_massive.streaming.sink import Sink
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsstore.plugin import WorkerContext
    from tsstore_massive.rest.rate import RateLimiter
    from tsstore_massive.schemas import Kind
    from tsstore_massive.streaming.lineup import Planned
    from tsstore_massive.streaming.patience import Patience

_POLL_STEP_S = 0.2
_REMEMBER_S = 60.0


class Line:
    """One connection; also the observer of its feed.

    Args:
        context: what the host gives.
        planned: which connection.
        symbols: as buckets spell them; None for all of the market.
        limiter: of the requests of its key.
        patience: pauses and time-outs.
        down_since: monotonic second since which an earlier try has been down; None for now.

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
        down_since: float | None = None,
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
        self._charges: tuple[Line, ...] = ()
        self._faults = Faults()
        clock, logger = context.clock, context.logger
        self._jumps = Jumps(clock.now_ns(), clock.monotonic())
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
            all_symbols=self._all_missed,
            fitting=self._sink.fitting,
            before_fill=self._sink.keep_bars,
            before_symbol=self._sink.forget_bars,
            after_fill=self._sink.repeat_bars,
            clock=clock,
            logger=logger,
            stop=self._stop,
            retry_s=patience.retry_s,
        )
        self._catch_up = CatchUp(
            context,
            config,
            planned.name,
            symbols=lambda: self._symbols,
            gaps=self._gaps,
            sink=self._sink,
            settle_s=patience.settle_s,
            down_since=down_since,
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
        self._status = LineStatus(
            self._feed,
            self._sink,
            self._catch_up,
            self._gaps,
            self._history,
            self._reference,
            self._rest,
            self._faults,
            clock,
        )
        self._helpers = Helpers(self._stop, self._feed.fail, clock)

    def run(self) -> None:
        """Stream until stopped.

        Raises:
            FatalPluginError: the server refuses the key.
            LockedError: another worker on this machine uses the key.
            TsStoreError: the store does not take the rows.
        """
        allowed = self._config.connections_allowed
        with KeyLock(self.planned.key, self.planned.place, allowed=allowed):
            self._catch_up.resume()
            self._helpers.start(self._gaps.run, "massive-gaps")
            self._helpers.start(self._keep_remembering, "massive-streamed")
            if self._config.starts:
                self._helpers.start(self._history.keep, "massive-history")
            if self._config.reference:
                self._helpers.start(self._reference.run, "massive-reference")
            try:
                self._stream()
            finally:
                self._helpers.end()
                self._rest.close()
                self._catch_up.ended()

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
        """Stream other symbols from now on; of new ones, what came today is fetched.

        That is written down before any of their rows can come: a start after a kill would take a
        symbol that is streamed for complete up to there.
        """
        before, self._symbols = self._symbols, symbols
        if before is not None and symbols is not None:
            if gone := set(before).difference(symbols):
                self._catch_up.removed(tuple(sorted(gone)))
            if new := set(symbols).difference(before):
                self._catch_up.added(tuple(name for name in symbols if name in new))
                self._history.renew()
        with self._lock:
            self._subscribe()

    def carry(self, carried: Iterable[str], charges: Iterable[Line]) -> None:
        """Stream these topics of other connections besides its own.

        What those have missed is written down now and after each outage of this connection, before
        rows of theirs are stored that lie behind it.
        """
        before, self._charges = self._charges, tuple(charges)
        for charge in self._charges:
            if charge not in before:
                charge.hand_over()
        wanted = frozenset(carried)
        with self._lock:
            if wanted != self._carried:
                self._carried = wanted
                self._subscribe()

    def hand_over(self) -> None:
        """Another connection streams its symbols from now on: what is missed is written down."""
        self._catch_up.carried()

    def remember(self) -> None:
        """Write down up to when it has streamed, for a start after a kill."""
        self._catch_up.remember()

    @property
    def down_since(self) -> float | None:
        """Monotonic second since which it has not been streaming; None while it does."""
        return self._catch_up.down_since

    def down_s(self) -> float:
        """How long it has not been streaming; 0.0 while it does, or has nothing to stream."""
        is_idle = self._feed.state == "idle" and not self._stop.is_set()
        return 0.0 if is_idle else self._catch_up.down_s()

    def describe(self) -> dict[str, Any]:
        """How it fares, as JSON values."""
        return self._status.describe(
            self._symbols,
            down_s=self.down_s(),
            carried=len(self._carried),
            is_carried=self.is_carried,
        )

    # What the feed tells, on its event loop.

    def on_streaming(self) -> None:
        """Have everything fetched that was missed up to now, and a little beyond."""
        self._catch_up.streaming()
        for charge in self._charges:
            charge.hand_over()

    def on_lost(self) -> None:
        """From here on everything is missed."""
        self._sink.reconnected()
        self._catch_up.lost()

    def on_tick(self) -> None:
        """Look at the clocks, fetch what does not stream, count."""
        clock = self._context.clock
        now = clock.monotonic()
        self._status.rate.note(now, self._sink.events)
        self._catch_up.heed_clock()
        if self._feed.state == "idle":
            self._catch_up.idle()
        jump_s = self._jumps.look(clock.now_ns(), now)
        if jump_s >= self._patience.sleep_s:
            self._context.logger.warning(
                "the clock went on by %.0f s at once, as after a sleep; connecting anew", jump_s
            )
            self._feed.renew()
        if not self.is_carried:
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
            self._catch_up.only_polls()
            while not self._context.clock.wait(self._stop, _POLL_STEP_S):
                self._feed.check()
                self._poll(self._config.data_types)

    def _keep_remembering(self) -> None:
        """Write down once a minute up to when it streams, and those it carries."""
        while not self._context.clock.wait(self._stop, _REMEMBER_S):
            for line in (self, *self._charges):  # those may have no thread any more
                line.remember()

    def _poll(self, kinds: Iterable[Kind]) -> None:
        if self._feed.state != "idle":
            self._catch_up.poll(kinds)

    def _subscribe(self) -> None:
        self._feed.subscribe(narrowed([*self.topics(), *sorted(self._carried)]))

    def _all_symbols(self) -> tuple[str, ...]:
        """All symbols that are wanted, as buckets spell them."""
        symbols, market = self._symbols, self._config.market
        if symbols is not None:
            return symbols
        listed = self._rest.tickers(LISTED[market]) if market in LISTED else ()
        return tuple(filter(None, (bucket_symbol(name, market) for name in listed)))

    def _all_missed(self, kind: Kind) -> tuple[str, ...]:
        """All symbols that may have come: of a whole market more than are listed, as OTC stocks."""
        symbols = self._all_symbols()
        if self._symbols is not None:
            return symbols
        now_ns = self._context.clock.now_ns()
        lately = came_lately(self._context.store, self._config, kind, now_ns)
        return tuple(dict.fromkeys((*symbols, *lately)))

    def _referred(self) -> tuple[str, ...] | None:
        """Whose reference data are kept; None for every stock, nobody's of a whole other market."""
        if self._symbols is None and self._config.market != "stocks":
            return ()
        return self._symbols

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
