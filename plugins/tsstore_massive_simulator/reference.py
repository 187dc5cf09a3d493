"""Reference data: tickers, exchanges, market hours."""

from __future__ import annotations

import operator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tsstore.zones import NS_PER_SECOND, zone
from tsstore_massive_simulator.calendar import NEW_YORK, day_of, session
from tsstore_massive_simulator.question import NoSuchThingError, Page

if TYPE_CHECKING:
    from tsstore_massive_simulator.question import Question

_DEFAULT_LIMIT = 100
_LIMIT_MAX = 1000
_COMPARISONS = {
    "ticker": operator.eq,
    "ticker.gte": operator.ge,
    "ticker.gt": operator.gt,
    "ticker.lte": operator.le,
    "ticker.lt": operator.lt,
}
_FUNDS = frozenset({"SPY", "QQQ", "IWM", "EEM", "USO", "BNO"})
_DAYS_AHEAD = 365

#: Id, MIC, name and type of the exchanges.
_EXCHANGES = (
    (1, "XASE", "NYSE American, LLC", "exchange"),
    (2, "XBOS", "Nasdaq Texas", "exchange"),
    (3, "XCIS", "NYSE National, Inc.", "exchange"),
    (4, "XADF", "FINRA Alternative Display Facility", "TRF"),
    (7, "EDGA", "Cboe EDGA", "exchange"),
    (8, "EDGX", "Cboe EDGX", "exchange"),
    (9, "XCHI", "NYSE Texas", "exchange"),
    (10, "XNYS", "New York Stock Exchange", "exchange"),
    (11, "ARCX", "NYSE Arca, Inc.", "exchange"),
    (12, "XNAS", "Nasdaq", "exchange"),
    (14, "LTSE", "Long-Term Stock Exchange", "exchange"),
    (15, "IEXG", "Investors Exchange", "exchange"),
    (17, "XPHL", "Nasdaq Philadelphia Exchange LLC", "exchange"),
    (18, "BATY", "Cboe BYX", "exchange"),
    (19, "BATS", "Cboe BZX", "exchange"),
    (20, "EPRL", "MIAX Pearl", "exchange"),
    (21, "MEMX", "Members Exchange", "exchange"),
)
_TYPES = (("CS", "Common Stock"), ("PFD", "Preferred Stock"), ("ETF", "Exchange Traded Fund"))


def tickers(question: Question) -> Page:
    """A page of tickers."""
    params = question.params
    limit = question.limit(_DEFAULT_LIMIT, _LIMIT_MAX)
    descending = question.choice("order", "asc", "desc") == "desc"
    found = [_ticker(name) for name in _selected(question)]
    found.sort(key=lambda each: str(each["ticker"]), reverse=descending)
    if "ap" in params:
        after = params["ap"]
        found = [
            each
            for each in found
            if (each["ticker"] < after if descending else each["ticker"] > after)
        ]
    page = found[:limit]
    body = {"results": page, "count": len(page)}
    if len(found) <= limit:
        return Page(body)
    return Page(body, question.path, {**params, "ap": page[-1]["ticker"]})


def _selected(question: Question) -> list[str]:
    params = question.params
    if params.get("market", "stocks") != "stocks" or params.get("active", "true") == "false":
        return []
    names = list(question.market.tickers())
    for name, compare in _COMPARISONS.items():
        if params.get(name):
            names = [each for each in names if compare(each, params[name])]
    if params.get("search"):
        names = [each for each in names if params["search"].lower() in each.lower()]
    if params.get("type"):
        names = [each for each in names if _type(each) == params["type"]]
    return names


def _ticker(name: str) -> dict[str, Any]:
    return {
        "active": True,
        "currency_name": "usd",
        "last_updated_utc": "2026-01-02T00:00:00Z",
        "locale": "us",
        "market": "stocks",
        "name": f"{name} Inc.",
        "primary_exchange": "XNYS" if len(name) < 4 else "XNAS",
        "ticker": name,
        "type": _type(name),
    }


def _type(name: str) -> str:
    if name in _FUNDS:
        return "ETF"
    return "CS" if name.isupper() else "PFD"


def ticker_details(question: Question) -> Page:
    """What is known of a ticker."""
    if question.ticker not in question.market.tickers():
        raise NoSuchThingError("Ticker not found.")
    details = _ticker(question.ticker)
    del details["last_updated_utc"]
    root, _, suffix = question.ticker.partition(".")
    more = {"ticker_root": root, **({"ticker_suffix": suffix} if suffix else {}), "round_lot": 100}
    return Page({"results": {**details, **more}})


def ticker_types(question: Question) -> Page:
    """The types of tickers."""
    del question
    results = [
        {"asset_class": "stocks", "code": code, "description": text, "locale": "us"}
        for code, text in _TYPES
    ]
    return Page({"results": results, "count": len(results)})


def exchanges(question: Question) -> Page:
    """The exchanges."""
    if question.params.get("asset_class", "stocks") != "stocks":
        return Page({"results": [], "count": 0})
    results = [
        {
            "id": number,
            "type": kind,
            "asset_class": "stocks",
            "locale": "us",
            "name": name,
            "mic": mic,
            "operating_mic": mic,
        }
        for number, mic, name, kind in _EXCHANGES
    ]
    return Page({"results": results, "count": len(results)})


def market_status(question: Question) -> Page:
    """Whether the market is open."""
    now = question.now_ns
    hours = session(day_of(now))
    early = hours is not None and hours.first_ns <= now < hours.open_ns
    late = hours is not None and hours.close_ns <= now < hours.last_ns
    is_open = hours is not None and hours.open_ns <= now < hours.close_ns
    state = "open" if is_open else "extended-hours" if early or late else "closed"
    local = datetime.fromtimestamp(now // NS_PER_SECOND, UTC).astimezone(zone(NEW_YORK))
    return Page(
        {
            "afterHours": late,
            "currencies": {"crypto": "open", "fx": "open"},
            "earlyHours": early,
            "exchanges": {"nasdaq": state, "nyse": state, "otc": "open" if is_open else "closed"},
            "indicesGroups": {"s_and_p": "closed", "dow_jones": "closed"},
            "market": state,
            "serverTime": local.isoformat(timespec="seconds"),
        },
        is_standard=False,
    )


def market_holidays(question: Question) -> Page:
    """Closed and half days within a year, a bare list."""
    today = day_of(question.now_ns)
    days = [today + timedelta(days=ahead) for ahead in range(1, _DAYS_AHEAD)]
    rows = [row for day in days for row in _holiday(day)]
    return Page(rows, is_standard=False)


def _holiday(day: date) -> list[dict[str, str]]:
    hours = session(day)
    if day.weekday() >= 5 or (hours is not None and not hours.is_half_day):
        return []
    row = {"date": str(day), "name": "Market holiday", "status": "closed"}
    if hours is not None:
        row |= {
            "status": "early-close",
            "open": _iso(hours.open_ns),
            "close": _iso(hours.close_ns),
        }
    return [{**row, "exchange": exchange} for exchange in ("NYSE", "NASDAQ", "OTC")]


def _iso(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // NS_PER_SECOND, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"
