"""Snapshots: the day so far of one ticker, of all, of those that moved most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore_massive_simulator.bars import coarser
from tsstore_massive_simulator.calendar import HOUR_NS, MINUTE_NS, NEW_YORK
from tsstore_massive_simulator.cells import decimal_text
from tsstore_massive_simulator.question import NoSuchThingError, Page
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.short import short
from tsstore_massive_simulator.ticks import trade_letters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from tsstore_massive_simulator.question import Question
    from tsstore_massive_simulator.restrows import RestBar
    from tsstore_massive_simulator.rows import Rows

_MOVERS = 20
#: A new day begins at 03:30 New York, when the snapshots are cleared.
_CLEARED_NS = 7 * HOUR_NS // 2
_DAYS_BACK = 10
_TRADE_KEYS = ("c", "ds", "i", "p", "s", "t", "x")
_STOCK_QUOTE = {
    "P": "ask_price", "S": "ask_size", "p": "bid_price", "s": "bid_size", "t": "sip_timestamp",
}  # fmt: skip
_FOREX_QUOTE = {
    "a": "ask_price", "b": "bid_price", "t": "ms participant_timestamp", "x": "bid_exchange",
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What is known of a ticker at an instant.

    Attributes:
        ticker: which.
        day: the bar of the day so far, when there is any.
        minute: the bar of the last minute that is over, when there is any today.
        before: the bar of the day before, when there is any.
        trade: the row of the last trade, when there is any today.
        quote: the row of the last quote, when there is any today.
    """

    ticker: str
    day: RestBar | None = None
    minute: RestBar | None = None
    before: RestBar | None = None
    trade: Rows | None = None
    quote: Rows | None = None

    @property
    def change(self) -> float:
        """How much more the last trade cost than the close of the day before."""
        if self.before is None or self.day is None:
            return 0.0
        return self.day.c - self.before.c

    @property
    def change_percent(self) -> float:
        """The same in percent."""
        return 0.0 if self.before is None else self.change / self.before.c * 100

    @property
    def updated_ns(self) -> int:
        """The last instant something happened, 0 for never."""
        rows = [each for each in (self.trade, self.quote) if each is not None]
        return max((int(each["sip_timestamp"][0]) for each in rows), default=0)


def every_ticker(question: Question) -> Page:
    """Snapshots of all tickers, or of some."""
    wanted = question.params.get("tickers")
    names = question.market.tickers()
    if wanted:
        asked = {name.strip() for name in wanted.split(",")}
        names = [name for name in names if question.voice.bar_name(name) in asked]
    found = [_shown(question, each) for each in seen(question, names)]
    return Page({"count": len(found), "status": "OK", "tickers": found}, is_standard=False)


def one_ticker(question: Question) -> Page:
    """The snapshot of a ticker.

    Raises:
        NoSuchThingError: there is no such ticker.
    """
    if question.ticker not in question.market.tickers():
        raise NoSuchThingError("Ticker not found.")
    return Page({"ticker": _shown(question, seen(question, [question.ticker])[0])})


def movers(question: Question) -> Page:
    """The tickers that rose or fell most."""
    sign = -1 if question.parts["direction"] == "gainers" else 1
    found = [each for each in seen(question, question.market.tickers()) if each.day is not None]
    found = [each for each in found if each.change * sign < 0]
    found.sort(key=lambda each: each.change_percent * sign)
    tickers = [_shown(question, each) for each in found[:_MOVERS]]
    return Page({"status": "OK", "tickers": tickers}, is_standard=False)


def seen(question: Question, names: Sequence[str]) -> list[Seen]:
    """What is known of some tickers now."""
    now, day_of = question.horizon_ns, question.market.schedule.day_of
    cleared = _CLEARED_NS if question.market.schedule.zone == NEW_YORK else 0
    days = question.market.days(day_of(now - _DAYS_BACK * 24 * HOUR_NS), day_of(now - cleared))
    if not days:
        return [Seen(name) for name in names]
    earlier = days[-2] if len(days) > 1 else None
    return [_seen_one(question, name, days[-1], earlier) for name in names]


def _seen_one(question: Question, name: str, today: date, earlier: date | None) -> Seen:
    market, now, make = question.market, question.horizon_ns, question.voice.bars
    minutes = market.rows(Kind.MINUTES, today, [name])
    over = int(np.searchsorted(minutes["window_start"] + MINUTE_NS, now, side="right"))
    minutes = minutes.between(0, over)
    day = coarser(minutes.columns, np.zeros(over, np.int64)) if over else None
    if now >= market.schedule.close_ns(today):
        whole = market.rows(Kind.DAYS, today, [name])
        day = dict(whole.columns) if len(whole) else day
    before = None if earlier is None else market.rows(Kind.DAYS, earlier, [name])
    return Seen(
        name,
        make(day)[0] if day is not None else None,
        make(minutes.between(over - 1, over).columns)[0] if over else None,
        make(before.columns)[0] if before is not None and len(before) else None,
        _last(question, Kind.TRADES, today, name),
        _last(question, Kind.QUOTES, today, name),
    )


def _last(question: Question, kind: Kind, day: date, name: str) -> Rows | None:
    """The last row of a day that has happened."""
    rows = question.market.rows(kind, day, [name])
    end = int(np.searchsorted(rows["sip_timestamp"], question.horizon_ns, side="right"))
    return rows.between(end - 1, end) if end else None


def _shown(question: Question, seen: Seen) -> dict[str, Any]:
    """The shape of `/v2/snapshot`."""
    row: dict[str, Any] = {
        "ticker": question.voice.bar_name(seen.ticker),
        "todaysChange": round(seen.change, 4),
        "todaysChangePerc": round(seen.change_percent, 4),
        "updated": seen.updated_ns,
        "day": _bar(seen.day),
        "prevDay": _bar(seen.before),
    }
    if seen.minute is not None and seen.day is not None:
        total = {"av": seen.day.v, "dav": decimal_text(seen.day.v)}
        row["min"] = _bar(seen.minute) | total | {"t": seen.minute.t, "n": seen.minute.n}
    if seen.trade is not None:
        letters = trade_letters(question, seen.trade)
        row["lastTrade"] = {key: letters[key] for key in _TRADE_KEYS if key in letters}
    if seen.quote is not None and question.market.name != "crypto":
        is_forex = question.market.name == "forex"
        row["lastQuote"] = short(seen.quote, _FOREX_QUOTE if is_forex else _STOCK_QUOTE)
    return row


def _bar(bar: RestBar | None) -> dict[str, Any]:
    """A bar; zeros where there is none."""
    if bar is None:
        return dict.fromkeys(("o", "h", "l", "c", "v", "vw"), 0)
    made = {"o": bar.o, "h": bar.h, "l": bar.l, "c": bar.c, "v": bar.v}
    return made | {"vw": bar.vw or 0, "dv": decimal_text(bar.v)}
