"""The endpoints of futures, which have paths, names and habits of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.times import MAX_NS
from tsstore_massive_simulator.bars import coarser
from tsstore_massive_simulator.instruments import KITS
from tsstore_massive_simulator.lists import Listed
from tsstore_massive_simulator.question import BadRequestError, Page
from tsstore_massive_simulator.rows import TIME, Kind
from tsstore_massive_simulator.voices.futures import dollar_volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tsstore_massive_simulator.question import Question
    from tsstore_massive_simulator.rows import Rows

Record = dict[str, Any]

_LIMIT, _LIMIT_MAX = 1000, 50_000
_SECOND_NS = 1_000_000_000
_UNITS = {"sec": _SECOND_NS, "min": 60 * _SECOND_NS, "hour": 3600 * _SECOND_NS}
_TRADE = {
    "price": "price", "report_sequence": "report_sequence", "sequence_number": "sequence_number",
    "size": "size", "timestamp": "sip_timestamp",
}  # fmt: skip
_QUOTE = {
    "report_sequence": "report_sequence", "sequence_number": "sequence_number",
    "timestamp": "sip_timestamp",
}  # fmt: skip
_SIDE = ("price", "size", "timestamp")
_CONTRACTS = Listed(
    dict.fromkeys(
        ("ticker", "product_code", "date", "type", "first_trade_date", "last_trade_date"), str
    )
    | {"active": lambda text: text == "true"},
    "ticker",
    100,
    1000,
    sorts_by_suffix=True,
)
_PRODUCTS = Listed(
    dict.fromkeys(("product_code", "name", "trading_venue", "date", "type"), str),
    "product_code",
    100,
    1000,
    sorts_by_suffix=True,
)
_VENUES = {"cme": "XCME", "cbot": "XCBT", "nymex": "XNYM", "comex": "XCEC"}


def trades(question: Question) -> Page:
    """A page of trades of a contract."""
    return _page(question, "timestamp", _rows(Kind.TRADES), lambda rows: _records(rows, _TRADE))


def quotes(question: Question) -> Page:
    """A page of quotes of a contract; a side that is absent has no fields."""
    return _page(question, "timestamp", _rows(Kind.QUOTES), _quotes)


def _quotes(rows: Rows) -> list[Record]:
    made = _records(rows, _QUOTE)
    for side in ("bid", "ask"):
        names = {f"{side}_{name}": f"{side}_{name}" for name in _SIDE}
        told = _records(rows, names)
        for at in np.flatnonzero(rows[f"{side}_price"]).tolist():
            made[at] |= told[at]
    return made


def _records(rows: Rows, names: Mapping[str, str]) -> list[Record]:
    """A JSON object a row, with the given names for columns."""
    columns = [_column(rows, name) for name in names.values()]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _column(rows: Rows, name: str) -> list[Any]:
    column = rows[name]
    if name in ("size", "volume"):
        column = column.astype(np.int64)
    values: list[Any] = column.tolist()
    return values


def bars(question: Question) -> Page:
    """A page of bars of a contract, of seconds, minutes, hours or sessions."""
    text = question.params.get("resolution", "1session")
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text.removeprefix(number).removesuffix("s")
    if not number.isdigit() or int(number) < 1 or unit not in (*_UNITS, "session"):
        raise BadRequestError(f"resolution must be like 1min or 1session, not {text!r}")
    load = _sessions if unit == "session" else _windows(int(number) * _UNITS[unit])
    return _page(question, "window_start", load, _bars)


def _bars(rows: Rows) -> list[Record]:
    names = ("open", "high", "low", "close", "transactions", "volume", "window_start")
    made = _records(rows, {name: name for name in names})
    money = dollar_volumes(rows["volume"], rows["vwap"])
    for bar, dollars in zip(made, money, strict=True):
        bar["dollar_volume"] = dollars
        if "settled" in rows.columns:
            bar["settlement_price"] = bar["close"]
    return made


def _rows(kind: Kind) -> Callable[[Question, Any, str], Rows]:
    return lambda question, day, ticker: question.market.rows(kind, day, [ticker])


def _sessions(question: Question, day: Any, ticker: str) -> Rows:
    """The bar of a session, once it is over."""
    rows = question.market.rows(Kind.DAYS, day, [ticker])
    if question.market.schedule.close_ns(day) > question.horizon_ns:
        return rows.between(0, 0)
    columns = {**rows.columns, "settled": np.ones(len(rows), bool)}
    return type(rows)(rows.tickers, rows.starts, columns)


def _windows(width_ns: int) -> Callable[[Question, Any, str], Rows]:
    """Bars of so many nanoseconds that are over."""

    def load(question: Question, day: Any, ticker: str) -> Rows:
        market = question.market
        finest = width_ns < _UNITS["min"]
        base = (
            market.second_bars(day, [ticker])
            if finest
            else market.rows(Kind.MINUTES, day, [ticker])
        )
        windows = base["window_start"] // width_ns * width_ns
        base = base.between(0, int(np.searchsorted(windows, question.horizon_ns - width_ns + 1)))
        columns = coarser(base.columns, windows[: len(base)])
        count = len(columns["open"])
        return type(base)(base.tickers, np.array([0, count]), columns)

    return load


def _page(
    question: Question,
    field: str,
    load: Callable[[Question, Any, str], Rows],
    make: Callable[[Rows], list[Record]],
) -> Page:
    """A page of rows of a contract, filtered and sorted by the instant `field`."""
    limit = question.limit(_LIMIT, _LIMIT_MAX)
    ascending = question.params.get("sort", f"{field}.desc").endswith(".asc")
    first = skip = int(question.params.get("ap", "0"))
    low, high = _bounds(question, field)
    results: list[Record] = []
    for day, rows in _days(question, field, load, low, high, ascending=ascending):
        count = len(rows)
        part = min(max(count - skip, 0), limit + 1 - len(results))
        start = min(skip, count) if ascending else max(count - skip - part, 0)
        made = make(rows.between(start, start + part))
        more = {"ticker": question.parts["ticker"], "session_end_date": str(day)}
        results += [each | more for each in made[:: 1 if ascending else -1]]
        skip -= min(skip, count)
        if len(results) > limit:
            # What happens meanwhile must not move the pages.
            cursor = {"ap": str(first + limit), "until": str(high)}
            return Page({"results": results[:limit]}, question.path, {**question.params, **cursor})
    return Page({"results": results})


def _days(
    question: Question,
    field: str,
    load: Callable[[Question, Any, str], Rows],
    low: int,
    high: int,
    *,
    ascending: bool,
) -> Iterator[tuple[Any, Rows]]:
    market = question.market
    days = market.days(market.schedule.day_of(low), market.schedule.day_of(high))
    for day in days if ascending else reversed(days):
        rows = load(question, day, question.parts["ticker"])
        if not len(rows):
            continue
        ts = rows[TIME[Kind.MINUTES] if field == "window_start" else TIME[Kind.TRADES]]
        yield (
            day,
            rows.between(
                int(np.searchsorted(ts, low)), int(np.searchsorted(ts, high, side="right"))
            ),
        )


def _bounds(question: Question, field: str) -> tuple[int, int]:
    """First and last nanosecond of the filters, up to now."""
    low, high = 0, min(question.horizon_ns, int(question.params.get("until", MAX_NS)))
    for name, text in question.params.items():
        base, _, comparison = name.partition(".")
        if base != field:
            continue
        start, end = question.start_ns(text, 1), question.end_ns(text, 1)
        if comparison in ("", "gte"):
            low = max(low, start)
        if comparison in ("", "lte"):
            high = min(high, end)
        if comparison == "gt":
            low = max(low, end + 1)
        if comparison == "lt":
            high = min(high, start - 1)
    return low, high


def contracts(question: Question) -> Page:
    """A page of the contracts."""
    rows = [
        {
            "ticker": each.ticker,
            "product_code": each.ticker[:-2],
            "trading_venue": _VENUES[each.venue],
            "name": each.name,
            "type": "single",
            "active": True,
            "trade_tick_size": each.tick,
            "last_trade_date": "2027-12-17",
        }
        for each in KITS["futures"].instruments
    ]
    return _CONTRACTS.page(question, rows)


def products(question: Question) -> Page:
    """A page of the products."""
    rows = [
        {
            "product_code": each.ticker[:-2],
            "name": each.name.rsplit(" ", 2)[0],
            "trading_venue": _VENUES[each.venue],
            "type": "single",
        }
        for each in KITS["futures"].instruments
    ]
    return _PRODUCTS.page(question, rows)


def exchanges(question: Question) -> Page:
    """The venues."""
    del question
    results = [
        {"acronym": name.upper(), "id": mic, "mic": mic, "name": name.upper(), "type": "exchange"}
        for name, mic in _VENUES.items()
    ]
    return Page({"results": results})


def market_status(question: Question) -> Page:
    """Whether each product trades now."""
    market, now = question.market, question.now_ns
    day = market.schedule.day_of(now)
    is_open = bool(market.days(day, day)) and now <= market.schedule.close_ns(day)
    results = [
        {
            "market_event": "open" if is_open else "closed",
            "product_code": each.ticker[:-2],
            "session_end_date": str(day),
            "trading_venue": _VENUES[each.venue],
        }
        for each in KITS["futures"].instruments
    ]
    return Page({"results": results})
