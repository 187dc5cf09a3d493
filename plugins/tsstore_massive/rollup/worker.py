"""The bgworker: looks which days are to be closed, and closes them, the oldest first."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tsstore.errors import ConfigError
from tsstore.plugin import FatalPluginError
from tsstore.zones import NS_PER_SECOND
from tsstore_massive.errors import (
    MassiveError,
    NotEntitledError,
    StoppedError,
    UnavailableError,
)
from tsstore_massive.missing.journal import written_down
from tsstore_massive.rollup.compare import Tolerance, differences, official_of
from tsstore_massive.rollup.config import Config as RollupConfig
from tsstore_massive.rollup.day import collected, day_bars
from tsstore_massive.rollup.ledger import Closed, closed_days, ledger_entry
from tsstore_massive.rollup.report import status, summary
from tsstore_massive.rollup.vendor import Vendor
from tsstore_massive.rollup.writing import Closing, fitting
from tsstore_massive.sessions import MarketCalendar, day_of
from tsstore_massive.symbols import market_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from tsstore.plugin import WorkerContext
    from tsstore_massive.rollup.day import Tracked
    from tsstore_massive.sessions import Session

_LOOK_S = 60.0
#: After so long the vendor is asked again, if it had nothing of a day, and closed days are looked
#: at for symbols that have come since.
_ASK_AGAIN_S = 900.0
#: How long after it should be settled a day may lack the vendor's bars, or minutes that were
#: missed, before it goes without.
_PATIENCE_NS = 24 * 3600 * NS_PER_SECOND


class Worker:
    """Closes market days.

    Args:
        context: what the host gives.
        config: the options in mkts.yml.
    """

    Config = RollupConfig

    def __init__(self, context: WorkerContext, config: RollupConfig) -> None:
        self._context = context
        self._config = config
        self._calendar = MarketCalendar()
        self._tolerance = Tolerance(config.close_tolerance, config.volume_share)
        self._waiting: dict[str, str] = {}
        self._alarm = ""
        self._look_at = float("-inf")

    def run(self) -> None:
        """Work until the context's stop event is set.

        Raises:
            ConfigError: there is no API key, and there are minutes that are not made up.
            FatalPluginError: the service refuses the key.
            TsStoreError: the store does not take the bars.
        """
        context = self._context
        with self._vendor() as vendor:
            while not context.stop.is_set():
                waiting = self._close_days(vendor)
                is_patient = waiting and not self._alarm
                context.clock.wait(context.stop, _ASK_AGAIN_S if is_patient else _LOOK_S)

    @contextmanager
    def _vendor(self) -> Iterator[Vendor | None]:
        if not self._config.check:
            yield None
            return
        with Vendor(self._context, self._config.vendor()) as vendor:
            self._look_for_key(vendor)
            yield vendor

    def _look_for_key(self, vendor: Vendor) -> None:
        """If a key is missing that will be needed, tell now and not when a day is to be closed."""
        minutes = collected(self._context.store)
        if len(minutes.symbols) and minutes.synthetic.all():
            return
        try:
            vendor.check_key()
        except ConfigError as error:
            if len(minutes.symbols):
                raise
            self._context.logger.warning("%s; the first real minutes need one", error)

    def _close_days(self, vendor: Vendor | None) -> dict[str, str]:
        """Close what is due; returns the days that have to wait, and why."""
        waiting: dict[str, str] = {}
        alarm = ""
        settled, done = self._settled()
        if settled[-1:] and settled[-1].day in done and not self._is_time_to_look():
            return waiting
        stocks = collected(self._context.store)
        for session in settled:
            tracked = stocks.tracked(session)
            # More of them: history came in, or was still coming when the day was closed.
            if len(tracked.symbols) <= done.get(session.day, 0):
                continue
            if self._is_being_fetched(session):
                waiting[str(session.day)] = "the massive worker still fetches minutes of it"
                continue
            try:
                self._close(session, tracked, vendor)
            except StoppedError:
                break
            except FatalPluginError:
                raise
            except UnavailableError as error:
                alarm = waiting[str(session.day)] = str(error)
                break  # the other days would only meet the same
            except MassiveError as error:
                waiting[str(session.day)] = str(error)
        self._tell(waiting, alarm)
        return waiting

    def _is_time_to_look(self) -> bool:
        """Whether days that are closed are looked at again, which takes a second at times."""
        now = self._context.clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _ASK_AGAIN_S
        return True

    def _settled(self) -> tuple[list[Session], dict[date, int]]:
        """The last settled days, in order; and of those that are closed, how many were tracked."""
        now_ns = self._context.clock.now_ns()
        today = day_of(now_ns)
        # Two market days in three days at the least, holidays included.
        first = today - timedelta(days=2 * self._config.days + 7)
        days = self._calendar.days(first, today).tolist()
        sessions = [each for day in days if (each := self._calendar.session(day)) is not None]
        settled = [each for each in sessions if self._settled_ns(each) <= now_ns]
        return settled[-self._config.days :], closed_days(self._context.store, first)

    def _is_being_fetched(self, session: Session) -> bool:
        """Whether minutes of a day are known to be missing; at some time nobody fetches them."""
        if self._context.clock.now_ns() - self._settled_ns(session) >= _PATIENCE_NS:
            return False
        starts, ends, symbols = written_down(self._context.store, "bars")
        meets = (starts < session.extended_close_ns) & (ends >= session.extended_open_ns)
        return any(not name or market_of(name) == "stocks" for name in symbols[meets].tolist())

    def _settled_ns(self, session: Session) -> int:
        return session.extended_close_ns + round(self._config.settle_hours * 3600 * NS_PER_SECOND)

    def _close(self, session: Session, ours: Tracked, vendor: Vendor | None) -> None:
        context = self._context
        table = None
        if vendor is not None and not ours.synthetic.all():
            table = self._fetch(session, vendor)
        made = day_bars(context.store, ours.symbols, session, context.stop.is_set)
        if context.stop.is_set():
            return
        official = official_of(table, ours)
        differs = differences(made, official, self._tolerance)
        differs[ours.synthetic | (table is None)] = 0
        fits = fitting(context.store, ours)
        self._store(Closing(session.day, ours, made, official, differs, fits))

    def _fetch(self, session: Session, vendor: Vendor) -> Mapping[str, Any] | None:
        """The vendor's bars; None when it has none for good."""
        overdue_ns = self._context.clock.now_ns() - self._settled_ns(session)
        try:
            table = vendor.day_bars(session.day)
            if table is not None:
                return table
            why = "it has none"
        except NotEntitledError as error:
            why = str(error)
        if overdue_ns < _PATIENCE_NS:
            raise _NotYetError(f"no bars of the vendor yet: {why}")
        self._context.logger.warning("%s goes without the vendor's bars: %s", session.day, why)
        return None

    def _store(self, closing: Closing) -> None:
        context = self._context
        closed = Closed(
            closing.day,
            context.clock.now_ns(),
            tracked=len(closing.tracked.symbols),
            symbols=int(closing.is_stored.sum()),
            official=int((closing.official.known & closing.fits).sum()),
            differ=int((closing.differs > 0).sum()),
        )
        entry = ledger_entry(context.store, closed, synthetic=bool(closing.tracked.synthetic.all()))
        context.store.commit([*closing.operations(context.store, context.timezone), entry])
        context.status.update(status(closing))
        context.logger.info(summary(closing))

    def _tell(self, waiting: dict[str, str], alarm: str) -> None:
        """Show for what days wait, and what is wrong; the log is told when that changes."""
        self._context.status.update(waiting=waiting, alarm=alarm)
        if alarm and not self._alarm:
            self._context.logger.warning(
                "no bars of the vendor, asked again every minute: %s "
                "(of massive_rollup, which has a base_url of its own; check: false does without)",
                alarm,
            )
        self._alarm = alarm
        if alarm:
            return
        if waiting != self._waiting:
            for day, why in waiting.items():
                self._context.logger.warning("%s is not closed yet: %s", day, why)
        self._waiting = waiting


class _NotYetError(MassiveError):
    """The vendor has nothing of the day so far."""
