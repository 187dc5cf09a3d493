"""What a connection misses, from its start to its end, and when it is handed to be fetched.

    start     what came since the last stop, and today of symbols without rows
    lost      from the last event on, until it streams again
    polling   while it stays down: what is missed so far, once a minute
    carried   what is missed so far, when another connection takes its symbols
    added     today, of symbols that are new
    removed   what is missed so far of symbols that are wanted no more
    clock     what lies between this machine's time and the vendor's, when that is ahead

Everything that it hands over begins at the time of an event and not of the clock, so that a clock
that was set leaves nothing out.
"""

from __future__ import annotations

import threading
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsstore.zones import NS_PER_DAY, NS_PER_SECOND
from tsstore_massive.channels import channel_of
from tsstore_massive.datasets import LATE_NS
from tsstore_massive.listing import LISTED
from tsstore_massive.missing import outages
from tsstore_massive.missing.gaps import NO_HISTORY, Stretch
from tsstore_massive.missing.missed import Missed, overlap_ns
from tsstore_massive.missing.polling import Polling
from tsstore_massive.missing.resume import at_start, ticks_came, today
from tsstore_massive.missing.streamed import Streamed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from tsstore.plugin import WorkerContext
    from tsstore_massive.config import Config
    from tsstore_massive.missing.gaps import GapFiller
    from tsstore_massive.schemas import Kind
    from tsstore_massive.streaming.sink import Sink

_NO_LIST = "nobody lists all contracts; name symbols to have what they missed fetched"
#: While others stream its symbols, what is missed so far is written down this often, so that a
#: start after a kill finds less than it would give up.
_CARRIED_S = 86_400.0
#: A clock that is so far behind the vendor's is told.
CLOCK_BEHIND_NS = 5 * NS_PER_SECOND


class CatchUp:
    """Hands what one connection has missed to its gap filler; thread-safe.

    Args:
        context: what the host gives.
        config: the options of the connection.
        name: of the connection; empty for the only one.
        symbols: those that it streams now; None for all of the market.
        gaps: fetches.
        sink: knows the times of the last events.
        settle_s: how long after a reconnect a gap is fetched, and how far it reaches beyond.
        down_since: monotonic second since which an earlier try has been down; None for now.

    Attributes:
        polling: when to fetch what does not stream.
        clock_behind_s: how far this machine's clock is behind the vendor's; 0.0 when it is not.
    """

    def __init__(
        self,
        context: WorkerContext,
        config: Config,
        name: str,
        *,
        symbols: Callable[[], tuple[str, ...] | None],
        gaps: GapFiller,
        sink: Sink,
        settle_s: float,
        down_since: float | None = None,
    ) -> None:
        self.polling = Polling(config.poll_after_s)
        self.clock_behind_s = 0.0
        self._store = context.store
        self._clock = context.clock
        self._logger = context.logger
        self._config = config
        self._name = name
        self._before = self._written = Streamed.read(context.store, name)
        self._begun: frozenset[str] | None = frozenset()
        self._symbols = symbols
        self._gaps = gaps
        self._sink = sink
        self._settle_s = settle_s
        self._lock = threading.Lock()
        self._missed = Missed()
        self._started_ns = self._down_from_ns = context.clock.now_ns()
        self._streaming_from_ns: int | None = None
        self._down_since = down_since
        if down_since is None:
            self._down_since = context.clock.monotonic()
        self._is_resumed = self._is_carried = False
        self._handed_at = context.clock.monotonic()

    @property
    def down_since(self) -> float | None:
        """Monotonic second since which it has not been streaming; None while it does."""
        return self._down_since

    def down_s(self) -> float:
        """How long it has not been streaming; 0.0 while it does."""
        since = self._down_since
        return 0.0 if since is None else self._clock.monotonic() - since

    def resume(self) -> None:
        """Go on where an earlier run left off."""
        with self._lock:
            self._resume_once()

    def streaming(self) -> None:
        """Have everything fetched that was missed up to now, and a little beyond."""
        with self._lock:
            if self.polling.end():
                self._logger.info("%s streams again, no more polling", self.shown_name)
            self._hand_over()
            self.clock_behind_s = 0.0  # it may have been set meanwhile
            self._streaming_from_ns = self._clock.now_ns()
            self._down_since = None
            self._is_carried = False
            self._remember()
            outages.write(
                self._store,
                self._down_from_ns,
                self._streaming_from_ns,
                market=self._config.market,
                connection=self._name,
            )

    def lost(self) -> None:
        """From here on everything is missed."""
        with self._lock:
            self._down_since = self._clock.monotonic()
            seen = self._sink.watermarks
            self._down_from_ns = max(seen.values(), default=self._started_ns)
            for kind in self._config.data_types:
                self._miss(kind, self._seen_ns(kind))
            self._remember()

    def remember(self) -> None:
        """Write down up to when it has streamed; while it is carried, what is missed so far."""
        with self._lock:
            if self._down_since is None:
                self._remember()
            elif self._is_carried and self._clock.monotonic() >= self._handed_at + _CARRIED_S:
                self._hand_over_so_far(self._fetchable(), *self._reach())

    def only_polls(self) -> None:
        """It is never going to stream."""
        self.polling.begin()

    def ended(self) -> None:
        """It does not stream any more, and will not connect again."""
        if self._down_since is None:
            self.lost()

    def carried(self) -> None:
        """Another connection streams its symbols from now on: what is missed by now is fetched.

        So it does not wait until this one is back. From here on it stays missed, so nothing depends
        on what the other one may stream.
        """
        with self._lock:
            self._resume_once()  # it may never have run, without a lock on its key
            self._is_carried = True
            self._hand_over_so_far(self._fetchable(), *self._reach())

    def added(self, symbols: tuple[str, ...]) -> None:
        """These are streamed from now on; what came today is fetched."""
        with self._lock:
            self._missed.add(*today(self._config.data_types, symbols, self._clock.now_ns()))
            if self._begun is not None:
                self._begun = self._begun.union(symbols)
            if self._down_since is None:
                self._hand_over()
                self._remember()
            elif self._is_resumed:  # before that the start finds what is missing of them
                self._hand_over_so_far(self._fetchable(), *self._reach())

    def removed(self, symbols: tuple[str, ...]) -> None:
        """These are wanted no more; what was missed of them by now is fetched, and no further."""
        with self._lock:
            missed = self._missed.leave(frozenset(symbols), *self._reach())
            self._gaps.add(*(self._to_fetch(stretch) for stretch in missed))
            if self._begun is not None:
                self._begun = self._begun.difference(symbols)
            if self._down_since is None:
                self._remember()

    def idle(self) -> None:
        """It has nothing to stream, so it is not down before it has."""
        if self._down_since is not None:
            self._down_since = self._clock.monotonic()
            self._down_from_ns = self._clock.now_ns()

    def poll(self, kinds: Iterable[Kind]) -> None:
        """Have what is missed by now fetched, if it is time to, while the connection is down."""
        now_ns = self._clock.now_ns()
        wanted = [kind for kind in kinds if self._is_fetchable(kind)]
        if not wanted or not self.polling.is_due(self.down_s(), now_ns):
            return
        with self._lock:
            if self.polling.rounds == 1:
                self._begin_polling(wanted)
            self._hand_over_so_far(wanted, now_ns, came_ns=self._came_ns(now_ns))

    def heed_clock(self) -> None:
        """Fetch what a clock that is behind has left out of the last gap."""
        behind_ns, self._sink.ahead_ns = self._sink.ahead_ns, 0
        if behind_ns < self.clock_behind_s * NS_PER_SECOND + CLOCK_BEHIND_NS:
            return
        with self._lock:
            self.clock_behind_s = behind_ns / NS_PER_SECOND
            self._logger.error(
                "this machine's clock is %.0f s behind the vendor's; set it", self.clock_behind_s
            )
            if self._down_since is None and self._streaming_from_ns is not None:
                for kind in self._config.data_types:
                    self._miss(kind, self._streaming_from_ns)
                self._hand_over()

    @property
    def shown_name(self) -> str:
        """What people know the connection by."""
        return f"connection {self._name}" if self._name else "the connection"

    def _resume_once(self) -> None:
        if self._is_resumed:
            return
        self._gaps.resume()
        symbols = self._symbols()
        self._begun = None if symbols is None else frozenset(symbols)
        if self._config.ws_query_start is None:  # a replay goes on from nowhere
            start = at_start(self._store, self._config, symbols, self._before, self._started_ns)
            self._missed.add(*start.missed)
            self._down_from_ns = start.seen_ns or self._started_ns
            self._gaps.add(*start.given_up)
        self._is_resumed = True

    def _seen_ns(self, kind: Kind) -> int:
        """Up to when the rows of a kind have come."""
        seen_ns = self._sink.watermarks.get(kind)
        if seen_ns is not None:
            return seen_ns
        # A delayed plan streams what was a while before it, and its history ends there.
        return (self._streaming_from_ns or self._started_ns) - LATE_NS

    def _remember(self) -> None:
        # Of what trades rarely no event says that nothing was missed; then the clock has to.
        quiet_ns = self._clock.now_ns() - NS_PER_DAY
        self._remember_until(
            {kind: max(self._seen_ns(kind), quiet_ns) for kind in self._config.data_types}
        )

    def _remember_until(self, until_ns: dict[Kind, int]) -> None:
        known = self._written.until_ns
        kept = {kind: known[kind] for kind in self._config.data_types if kind in known}
        now = Streamed(kept | until_ns, self._begun)
        now.write(self._store, self._name, self._written)
        self._written = now

    def _miss(self, kind: Kind, seen_ns: int) -> None:
        symbols = self._symbols()
        if symbols != ():
            self._missed.add(Stretch(kind, symbols, seen_ns - overlap_ns(kind)))

    def _hand_over(self) -> None:
        missed = self._missed.take(*self._reach())
        self._gaps.add(*(self._to_fetch(stretch) for stretch in missed))

    def _hand_over_so_far(
        self,
        kinds: Collection[Kind],
        end_ns: int,
        not_before: float = 0.0,
        *,
        came_ns: Mapping[tuple[Kind, str], int] = MappingProxyType({}),
    ) -> None:
        self._gaps.add(*self._missed.so_far(kinds, end_ns, not_before, came_ns))
        self._handed_at = self._clock.monotonic()
        # What a delayed plan has not yet goes on being missed.
        self._remember_until(dict.fromkeys(kinds, end_ns - LATE_NS))

    def _came_ns(self, now_ns: int) -> dict[tuple[Kind, str], int]:
        """Up to where polls have brought the ticks of each symbol."""
        symbols = self._symbols()
        if symbols is None or self._is_carried:  # too many; or rows that others brought
            return {}
        return ticks_came(self._store, self._config, symbols, now_ns)

    def _fetchable(self) -> list[Kind]:
        return [kind for kind in self._config.data_types if self._is_fetchable(kind)]

    def _reach(self) -> tuple[int, float]:
        """Up to which instant something is missed, and when the vendor has all of it."""
        reach_s = self._settle_s + self.clock_behind_s
        end_ns = self._clock.now_ns() + round(reach_s * NS_PER_SECOND)
        return end_ns, self._clock.monotonic() + self._settle_s

    def _begin_polling(self, kinds: list[Kind]) -> None:
        self._logger.warning(
            "%s has not streamed for %.0f s; until it does, %s are fetched every minute",
            self.shown_name,
            self.down_s(),
            " and ".join(kinds),
        )
        # A whole market is fetched from the start on only if it does not stream soon.
        if self._symbols() is None and self._streaming_from_ns is None:
            for kind in kinds:
                self._miss(kind, self._started_ns)

    def _to_fetch(self, stretch: Stretch) -> Stretch:
        """The stretch, given up if nobody but the socket tells such rows."""
        if not self._has_history(stretch.kind):
            return stretch.given_up(stretch.end_ns, NO_HISTORY)
        if stretch.symbols is None and self._config.market not in LISTED:
            return stretch.given_up(stretch.end_ns, _NO_LIST)
        return stretch

    def _is_fetchable(self, kind: Kind) -> bool:
        is_listed = self._symbols() is not None or self._config.market in LISTED
        return is_listed and self._has_history(kind)

    def _has_history(self, kind: Kind) -> bool:
        return channel_of(self._config.market, kind).has_history
