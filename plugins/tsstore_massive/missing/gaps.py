"""Stretches that were missed while nothing was connected, fetched by REST while the feed goes on.

What could not be fetched stays in the list, is tried again after a pause, and shows in the worker's
status until it is filled: a gap is never hidden. The list outlives the worker, see `journal.py`.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tsstore.errors import TsStoreError
from tsstore.times import MAX_NS, format_ns
from tsstore_massive.datasets import Dataset
from tsstore_massive.errors import StoppedError
from tsstore_massive.schemas import BAR_KINDS, KINDS

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable

    from tsstore.clock import Clock
    from tsstore_massive.backfilling.allowance import Reason
    from tsstore_massive.backfilling.backfill import Backfiller, Gap
    from tsstore_massive.missing.journal import Entry, Journal
    from tsstore_massive.schemas import Kind

#: Gaps that the status spells out; the others are counted.
_SHOWN_MAX = 50
#: Stretches without hope that are kept, the newest; of further ones only the number is known.
_HOPELESS_MAX = 1000
_IDLE_S = 0.1
#: What the plan gives only once it is older is asked for again after so long.
_TOO_RECENT_S = 3600.0

NO_HISTORY = "the vendor tells these rows on the socket only"


@dataclass(frozen=True)
class Stretch:
    """Something to fetch.

    Attributes:
        kind: what of.
        symbols: whose, as the vendor spells them; None for every symbol there is.
        start_ns: first instant.
        end_ns: last instant; not known while nothing is connected.
        not_before: monotonic second before which it is not tried: the vendor's history lags.
        reason: why it is still missing; empty when it was not tried yet.
        hopeless: whether trying again cannot help.
    """

    kind: Kind
    symbols: tuple[str, ...] | None
    start_ns: int
    end_ns: int = MAX_NS
    not_before: float = 0.0
    reason: str = ""
    hopeless: bool = False

    def until(self, end_ns: int, not_before: float) -> Stretch:
        """The same with an end, to be fetched from some moment on."""
        return replace(self, end_ns=end_ns, not_before=not_before)

    def meets(self, other: Stretch) -> bool:
        """Whether both are of the same rows and overlap or touch."""
        return (
            (self.kind, self.symbols) == (other.kind, other.symbols)
            and self.start_ns <= other.end_ns + 1
            and other.start_ns <= self.end_ns + 1
        )

    def covering(self, other: Stretch) -> Stretch:
        """The same, reaching over another one as well, and tried when both may be.

        Before that the vendor's history may lack the end of the later one.
        """
        return replace(
            self,
            start_ns=min(self.start_ns, other.start_ns),
            end_ns=max(self.end_ns, other.end_ns),
            not_before=max(self.not_before, other.not_before),
            reason=self.reason or other.reason,
        )

    def given_up(self, end_ns: int, reason: str) -> Stretch:
        """The same as one that is not going to be fetched."""
        return replace(self, end_ns=end_ns, reason=reason, hopeless=True)

    def describe(self) -> dict[str, Any]:
        """The stretch as the status shows it."""
        symbols = self.symbols
        return {
            "kind": self.kind,
            "symbols": "all" if symbols is None else " ".join(symbols[:5]),
            "symbol_count": None if symbols is None else len(symbols),
            "from": format_ns(self.start_ns),
            "to": format_ns(self.end_ns),
            "reason": self.reason or "being fetched",
        }


class GapFiller:
    """Fetches stretches one after the other on a thread of its own.

    Args:
        backfiller: fetches and stores.
        journal: remembers what is missing beyond the end of the process.
        all_symbols: the symbols of a stretch of all of them, by its kind.
        fitting: of a kind and symbols, those whose buckets take its rows; one that does not must
            not keep the others from being fetched.
        before_fill: called with the last instant of a stretch of bars before it is fetched.
        before_symbol: called with each symbol before it is fetched.
        after_fill: called after it, whether it worked or not.
        clock: the source of time.
        logger: for the operator.
        stop: ends the thread.
        retry_s: pause before a stretch is tried again.
    """

    def __init__(
        self,
        backfiller: Backfiller,
        journal: Journal,
        *,
        all_symbols: Callable[[Kind], tuple[str, ...]],
        fitting: Callable[[Kind, Iterable[str]], tuple[str, ...]],
        before_fill: Callable[[int], None],
        before_symbol: Callable[[str], None],
        after_fill: Callable[[], None],
        clock: Clock,
        logger: logging.Logger,
        stop: threading.Event,
        retry_s: float,
    ) -> None:
        self._backfiller = backfiller
        self._journal = journal
        self._all_symbols = all_symbols
        self._fitting = fitting
        self._before_fill = before_fill
        self._before_symbol = before_symbol
        self._after_fill = after_fill
        self._clock = clock
        self._logger = logger
        self._stop = stop
        self._retry_s = retry_s
        self._lock = threading.Lock()
        self._open: deque[Stretch] = deque()
        self._running: Stretch | None = None
        self._hopeless = deque[Stretch](maxlen=_HOPELESS_MAX)
        self._forgotten = 0

    def add(self, *stretches: Stretch) -> None:
        """Have stretches fetched, or only shown when they are hopeless; thread-safe.

        When it returns they are written down, so that an end of the process does not lose them.
        """
        with self._lock:
            self._take(stretches)

    def resume(self) -> None:
        """Add what an earlier run did not get to fetch, also of what is streamed no more."""
        with self._lock:
            self._take([stretch for kind in KINDS for stretch in self._unfilled(kind)])

    def describe(self) -> tuple[int, list[dict[str, Any]]]:
        """How many stretches are missing, and the first of them for the status."""
        with self._lock:
            running = [] if self._running is None else [self._running]
            missing = [*running, *self._open, *reversed(self._hopeless)]
        return len(missing) + self._forgotten, [
            stretch.describe() for stretch in missing[:_SHOWN_MAX]
        ]

    def run(self) -> None:
        """Fetch until stopped."""
        while not self._stop.is_set():
            stretch = self._next()
            if stretch is None:
                self._clock.wait(self._stop, _IDLE_S)
                continue
            left = self._fill(stretch)
            with self._lock:
                self._running = None
                self._take(left)

    def _take(self, stretches: Iterable[Stretch]) -> None:
        for stretch in stretches:
            if stretch.hopeless:
                self._forgotten += len(self._hopeless) == _HOPELESS_MAX
                self._hopeless.append(stretch)
            else:
                self._open.append(self._joined(stretch))
        self._write_down()

    def _write_down(self) -> None:
        missing: dict[Kind, list[Entry]] = {}
        for stretch in [*self._open, *([self._running] if self._running else [])]:
            symbols = [""] if stretch.symbols is None else stretch.symbols
            missing.setdefault(stretch.kind, []).extend(
                (stretch.start_ns, stretch.end_ns, symbol) for symbol in symbols
            )
        self._journal.write(missing)

    def _unfilled(self, kind: Kind) -> list[Stretch]:
        together: dict[tuple[int, int], list[str]] = {}
        for start_ns, end_ns, symbol in self._journal.read(kind):
            together.setdefault((start_ns, end_ns), []).append(symbol)
        return [
            Stretch(kind, None if "" in symbols else tuple(sorted(symbols)), *range_ns)
            for range_ns, symbols in together.items()
        ]

    def _next(self) -> Stretch | None:
        now = self._clock.monotonic()
        with self._lock:
            self._running = next((s for s in self._open if s.not_before <= now), None)
            if self._running is not None:
                self._open.remove(self._running)
            return self._running

    def _joined(self, stretch: Stretch) -> Stretch:
        """The stretch, together with a waiting one of the same rows: flapping makes many."""
        for other in self._open:
            if stretch.meets(other):
                self._open.remove(other)
                return self._joined(stretch.covering(other))
        return stretch

    def _fill(self, stretch: Stretch) -> list[Stretch]:
        """Fetch a stretch; returns what of it is still missing."""
        is_bars = stretch.kind in BAR_KINDS  # the only rows that a fetched copy may set back
        if is_bars:
            self._before_fill(stretch.end_ns)
        try:
            symbols = stretch.symbols
            if symbols is None:
                symbols = self._all_symbols(stretch.kind)
            report = self._backfiller.fill_gap(
                self._fitting(stretch.kind, symbols),
                [Dataset.of_stream(stretch.kind)],
                stretch.start_ns,
                stretch.end_ns,
                on_symbol=self._before_symbol,
            )
        except StoppedError:
            return [stretch]
        except TsStoreError as error:
            return [self._again(stretch, str(error))]
        finally:
            if is_bars:
                self._after_fill()
        if report.stopped:
            return [stretch]
        return self._left(stretch.kind, report.gaps)

    def _left(self, kind: Kind, gaps: Iterable[Gap]) -> list[Stretch]:
        """What failed, with symbols that failed alike in one stretch."""
        alike: dict[tuple[int, int, Reason | None], list[Gap]] = {}
        for gap in gaps:
            alike.setdefault((gap.start_ns, gap.end_ns, gap.refused), []).append(gap)
        stretches = []
        for (start_ns, end_ns, refused), same in alike.items():
            symbols = tuple(sorted(gap.symbol for gap in same))
            rest = Stretch(kind, symbols, start_ns, end_ns, hopeless=refused == "entitlement")
            stretches.append(self._again(rest, same[0].reason, is_refused=refused is not None))
        return stretches

    def _again(self, stretch: Stretch, reason: str, *, is_refused: bool = False) -> Stretch:
        # A gap is not old, so what is refused for its time is too recent for the plan.
        pause_s = max(self._retry_s, _TOO_RECENT_S) if is_refused else self._retry_s
        what = "cannot be filled" if stretch.hopeless else f"stays, next try in {pause_s:g} s"
        who = "all symbols" if stretch.symbols is None else " ".join(stretch.symbols[:5])
        self._logger.warning(
            "gap in %s of %s from %s to %s %s: %s",
            stretch.kind,
            who,
            format_ns(stretch.start_ns),
            format_ns(stretch.end_ns),
            what,
            reason,
        )
        again_at = self._clock.monotonic() + pause_s
        return replace(stretch, not_before=again_at, reason=reason)
