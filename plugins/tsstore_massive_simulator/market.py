"""What the simulator plays: a market of past and present days, generated or read from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from tsstore_massive_simulator.corporate import Dividend, Split
    from tsstore_massive_simulator.listings import Listing
    from tsstore_massive_simulator.rows import Kind, Rows
    from tsstore_massive_simulator.schedules import Schedule


class Market(Protocol):
    """Days of trades, quotes and bars. Every method may be called from any thread.

    Attributes:
        name: stocks, options, indices, forex, crypto or futures.
        schedule: when it trades.
        live: whether the market has days up to the present, so that it can follow the real clock.
        revised_share: share of minute bars that are sent once too early, and corrected later.
    """

    name: str
    schedule: Schedule
    live: bool
    revised_share: float

    def tickers(self) -> Sequence[str]:
        """Every ticker there is at present, in order of bytes."""
        ...

    def listings(self) -> Sequence[Listing]:
        """What is known of the tickers, those of the past included."""
        ...

    def splits(self) -> Sequence[Split]:
        """Every split, ascending by day."""
        ...

    def dividends(self) -> Sequence[Dividend]:
        """Every dividend, ascending by day."""
        ...

    def days(self, first: date, last: date) -> Sequence[date]:
        """Days from `first` to `last` that have rows of any kind, ascending."""
        ...

    def played_days(self, first: date, last: date) -> Sequence[date]:
        """Days from `first` to `last` that connections are played, ascending."""
        ...

    def rows(self, kind: Kind, day: date, tickers: Sequence[str] | None = None) -> Rows:
        """Rows of a day, of all tickers or of some; none on a day without."""
        ...

    def second_bars(self, day: date, tickers: Sequence[str] | None = None) -> Rows:
        """Bars of one second of a day."""
        ...

    def of_venue(self, venue: str) -> frozenset[str]:
        """Tickers that trade at a venue of futures."""
        ...

    def open_ns(self, day: date) -> int:
        """When the first trade makes the official open of a day."""
        ...
