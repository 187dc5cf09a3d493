"""What the demonstration shows: a live table on a terminal, a line per second elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping


#: After so long no history to fetch means that all of it is there.
_PLANNED_AFTER_S = 5.0


@dataclass(frozen=True)
class SymbolView:
    """A symbol in the store.

    Attributes:
        rows: of bars, trades and quotes, in this order.
        rows_per_s: all of them together, since the look before.
        price: the last one the feed reported; None before the first.
    """

    rows: tuple[int, int, int] = (0, 0, 0)
    rows_per_s: float = 0.0
    price: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """What there is to see at one moment.

    Attributes:
        seconds: since the demonstration began.
        market: the time in the market that is played, for people.
        lag_s: how long ago in real time the newest stored event happened there; None if unknown.
        worker: the status of the feed, as on /heartbeat.
        symbols: by name.
    """

    seconds: float
    market: str = ""
    lag_s: float | None = None
    worker: Mapping[str, Any] = field(default_factory=dict)
    symbols: Mapping[str, SymbolView] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows in the store."""
        return sum(sum(symbol.rows) for symbol in self.symbols.values())

    @property
    def rows_per_s(self) -> float:
        """Rows stored per second."""
        return sum(symbol.rows_per_s for symbol in self.symbols.values())

    @property
    def state(self) -> str:
        """What the feed does, and what troubles it."""
        trouble = self.worker.get("error") or self.worker.get("alarm")
        state = str(self.worker.get("state", "starting"))
        return f"{state} ({trouble})" if trouble else state

    @property
    def gaps(self) -> int:
        """Stretches that could not be fetched."""
        return int(self.worker.get("gap_count", len(self.worker.get("gaps", ()))))

    @property
    def lag(self) -> str:
        """How old the newest stored event is, for people."""
        if self.lag_s is None:
            return "-"
        return f"{self.lag_s * 1000:.0f} ms" if self.lag_s < 1 else f"{self.lag_s:,.1f} s"

    @property
    def backfill(self) -> tuple[int, int]:
        """How much of the history is fetched, of how much."""
        history = self.worker.get("backfill") or {}
        return int(history.get("done", 0)), int(history.get("total", 0))


class View(Protocol):
    """Shows snapshots."""

    def show(self, snapshot: Snapshot) -> None:
        """Show one, about every second."""
        ...

    def close(self) -> None:
        """Leave the last one on the screen."""
        ...


def view_for(console: Console) -> View:
    """A table on a terminal, lines elsewhere."""
    return TableView(console) if console.is_terminal else LineView()


class LineView:
    """One line for each snapshot."""

    def show(self, snapshot: Snapshot) -> None:
        """Print it."""
        done, total = snapshot.backfill
        prices = " ".join(
            f"{name} {symbol.price:.2f}"
            for name, symbol in snapshot.symbols.items()
            if symbol.price is not None
        )
        click.echo(
            f"{snapshot.seconds:5.0f} s  {snapshot.state}  market {snapshot.market}  "
            f"backfill {done}/{total}  "
            f"rows {snapshot.rows:,}  {snapshot.rows_per_s:,.0f} rows/s  lag {snapshot.lag}  "
            f"gaps {snapshot.gaps}  {prices}".rstrip()
        )

    def close(self) -> None:
        """Lines stay anyway."""


class TableView:
    """The progress of the backfill, a table of symbols, and a line about the feed."""

    def __init__(self, console: Console) -> None:
        self._history = Progress(
            TextColumn("History"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._task = self._history.add_task("history", total=None, note="")
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def show(self, snapshot: Snapshot) -> None:
        """Draw it in place of the one before."""
        done, total = snapshot.backfill
        note = f"{done:,} of {total:,} symbol-days"
        if not total and snapshot.seconds > _PLANNED_AFTER_S:
            done, total, note = 1, 1, "up to date"
        elif not total:
            note = "being planned"
        self._history.update(self._task, completed=done, total=total or None, note=note)
        table = _table(snapshot)
        self._live.update(Group(self._history, table, _footer(snapshot)), refresh=True)

    def close(self) -> None:
        """Leave the last one on the screen."""
        self._live.stop()


def _table(snapshot: Snapshot) -> Table:
    table = Table("Symbol", expand=False)
    for name in ("Last price", "Bars", "Trades", "Quotes", "Rows/s"):
        table.add_column(name, justify="right", min_width=9)
    for name, symbol in snapshot.symbols.items():
        table.add_row(
            name,
            "-" if symbol.price is None else f"{symbol.price:,.2f}",
            *(f"{rows:,}" for rows in symbol.rows),
            f"{symbol.rows_per_s:,.0f}",
        )
    return table


def _footer(snapshot: Snapshot) -> Text:
    events = snapshot.worker.get("events_per_s", 0)
    return Text(  # each line fits into 80 columns
        f"{snapshot.state} · market {snapshot.market} · gaps {snapshot.gaps} · Ctrl-C ends\n"
        f"{events:,.0f} events/s · {snapshot.rows_per_s:,.0f} rows/s · lag {snapshot.lag}"
    )
