"""What `query_start` asks for, fetched while the feed streams already.

A day counts as fetched once it was fetched after its end: only then it has the corrections and
cancels, exact times, and coverage. So each day is fetched again when it is over.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tsstore.errors import TsStoreError
from tsstore.times import format_ns
from tsstore_massive.backfilling.backfill import targets
from tsstore_massive.datasets import LATE_NS
from tsstore_massive.errors import StoppedError
from tsstore_massive.sessions import day_of
from tsstore_massive.tradingdays import day_in

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from datetime import date

    from tsstore.clock import Clock
    from tsstore_massive.backfilling.backfill import Backfiller, Gap, Progress, Report
    from tsstore_massive.config import Config

_LOOK_S = 0.5
#: Gaps that the status spells out.
_SHOWN_MAX = 50


class History:
    """Runs the backfill of the worker's options until nothing of it is missing.

    Args:
        config: the worker's options.
        backfiller: fetches and stores.
        symbols: all symbols wanted.
        clock: the source of time.
        logger: for the operator.
        stop: ends it.
        retry_s: pause before what failed is tried again.
    """

    def __init__(
        self,
        config: Config,
        backfiller: Backfiller,
        *,
        symbols: Callable[[], tuple[str, ...]],
        clock: Clock,
        logger: logging.Logger,
        stop: threading.Event,
        retry_s: float,
    ) -> None:
        self._config = config
        self._backfiller = backfiller
        self._symbols = symbols
        self._clock = clock
        self._logger = logger
        self._stop = stop
        self._retry_s = retry_s
        self._progress: Progress | None = None
        self._rows_before = 0
        self._gaps: tuple[Gap, ...] = ()
        self._error = ""
        self._has_new = threading.Event()

    def keep(self) -> None:
        """Fetch until stopped: again when there are new symbols, and when a day is over."""
        while not self._stop.is_set():
            self._has_new.clear()
            days = self._days_under_way()
            self.run()
            while not self._has_new.is_set() and self._days_under_way() == days:
                if self._clock.wait(self._stop, _LOOK_S):
                    return

    def renew(self) -> None:
        """There are new symbols; thread-safe."""
        self._has_new.set()

    def run(self) -> None:
        """Fetch until everything is there or cannot be had."""
        while not self._stop.is_set():
            if self._run_once() or self._clock.wait(self._stop, self._retry_s):
                return

    def describe(self) -> dict[str, Any]:
        """How far it is, in symbol-days, for the status."""
        progress = self._progress
        if progress is None:
            return {"done": 0, "total": 0, "rows": 0, "failed": 0, "error": self._error}
        return {
            "done": progress.days,
            "total": progress.total_days,
            "rows": self._rows_before + progress.rows,
            "failed": progress.failed_days,
            "error": self._error,
        }

    def gaps(self) -> tuple[int, list[dict[str, Any]]]:
        """How much could not be fetched, and the first of it for the status."""
        return len(self._gaps), [
            {
                "kind": str(gap.dataset),
                "symbols": gap.symbol,
                "symbol_count": 1,
                "from": format_ns(gap.start_ns),
                "to": format_ns(gap.end_ns),
                "reason": gap.reason,
            }
            for gap in self._gaps[:_SHOWN_MAX]
        ]

    def _days_under_way(self) -> list[date]:
        """The day of each dataset of which rows may still come, those of delayed plans too."""
        market, late_ns = self._config.market, self._clock.now_ns() - LATE_NS
        return [day_in(dataset.of(market), late_ns) for dataset in self._config.starts]

    def _run_once(self) -> bool:
        """One pass over what is missing; whether there is no point in another one."""
        try:
            report = self._fetch()
        except StoppedError:
            return True
        except TsStoreError as error:
            if self._stop.is_set():
                return True
            self._error = str(error)
            self._logger.warning(
                "history is not complete, next try in %g s: %s", self._retry_s, error
            )
            return False
        self._error = ""
        self._gaps = report.gaps
        for gap in report.gaps:
            self._logger.warning("history is missing: %s", gap)
        return report.stopped or not any(gap.entitled and not gap.is_misfit for gap in report.gaps)

    def _fetch(self) -> Report:
        wanted = targets(self._config, day_of(self._clock.now_ns()))
        plan = self._backfiller.plan(wanted, self._symbols())
        if self._progress is not None:
            self._rows_before += self._progress.rows
        return self._backfiller.run(plan, progress=self._note)

    def _note(self, progress: Progress) -> None:
        self._progress = progress
