"""`/v3/snapshot`: snapshots of tickers of every market in one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsstore_massive_simulator.cells import decimal_text
from tsstore_massive_simulator.lists import Listed
from tsstore_massive_simulator.question import Page
from tsstore_massive_simulator.short import short
from tsstore_massive_simulator.snapshots import Seen, seen

if TYPE_CHECKING:
    from tsstore_massive_simulator.question import Question

_ANY_OF_MAX = 250
_LIST = Listed({"ticker": str, "type": str}, "ticker", 10, _ANY_OF_MAX)
_TRADE = {
    "conditions": "conditions", "exchange": "exchange", "id": "id", "price": "price",
    "size": "size", "last_updated": "sip_timestamp",
    "participant_timestamp": "participant_timestamp",
}  # fmt: skip
_QUOTE = {
    "ask": "ask_price", "ask_size": "ask_size", "ask_exchange": "ask_exchange",
    "bid": "bid_price", "bid_size": "bid_size", "bid_exchange": "bid_exchange",
    "last_updated": "sip_timestamp",
}  # fmt: skip


def universal(question: Question) -> Page:
    """A page of snapshots; an unknown ticker is told among the results."""
    only = question.parts.get("market") or question.params.get("type")
    known: dict[str, tuple[str, str]] = {}
    for name, market in question.markets.items():
        if name == "futures":
            continue
        about = question.with_part("market", name)
        kind, spell = about.voice.asset_class, about.voice.bar_name
        known |= {spell(ticker): (kind, ticker) for ticker in market.tickers()}
    asked = question.params.get("ticker.any_of")
    names = sorted(known) if asked is None else asked.split(",")[:_ANY_OF_MAX]
    rows: list[dict[str, Any]] = [{"ticker": name, "type": _kind(known, name)} for name in names]
    rows = [row for row in rows if only is None or row["type"] in (only, "")]
    page = _LIST.page(question.with_params({**question.params, "type": ""}), rows)
    results = [_one(question, row["ticker"], known) for row in page.body["results"]]
    return Page({"results": results}, page.next_path, {**page.next_params, "type": only or ""})


def _kind(known: dict[str, tuple[str, str]], name: str) -> str:
    return known[name][0] if name in known else ""


def _one(question: Question, name: str, known: dict[str, tuple[str, str]]) -> dict[str, Any]:
    if name not in known:
        return {"ticker": name, "error": "NOT_FOUND", "message": "Ticker not found."}
    kind, ticker = known[name]
    about = question.with_part("market", kind)
    return {"ticker": name, "type": kind} | _shown(about, seen(about, [ticker])[0])


def _shown(question: Question, of: Seen) -> dict[str, Any]:
    market, now = question.market, question.now_ns
    days = market.days(market.schedule.day_of(now), market.schedule.day_of(now))
    is_open = bool(days) and market.open_ns(days[0]) <= now < market.schedule.close_ns(days[0])
    row: dict[str, Any] = {"market_status": "open" if is_open else "closed"}
    if market.name == "stocks":
        row["name"] = f"{of.ticker} Inc."
    if of.trade is not None:
        row["last_trade"] = short(of.trade, _TRADE) | {"timeframe": "REAL-TIME"}
    if of.quote is not None:
        row["last_quote"] = short(of.quote, _QUOTE) | {"timeframe": "REAL-TIME"}
    if of.day is not None:
        row["session"] = _session(of, of.day)
    if market.name == "indices":
        value = {} if of.day is None else {"value": of.day.c}
        return row | value | {"timeframe": "REAL-TIME"}
    if of.minute is not None:
        row["last_minute"] = _bar(of.minute) | {
            "transactions": of.minute.n,
            "vwap": of.minute.vw,
            "last_updated": of.minute.t * 1_000_000,
        }
    return row


def _session(of: Seen, bar: Any) -> dict[str, Any]:
    made = _bar(bar) | {
        "change": round(of.change, 4),
        "change_percent": round(of.change_percent, 4),
    }
    if of.before is not None:
        made["previous_close"] = of.before.c
    if hasattr(bar, "v"):
        made |= {"decimal_volume": decimal_text(bar.v), "price": bar.c}
    return made


def _bar(bar: Any) -> dict[str, Any]:
    made = {"open": bar.o, "high": bar.h, "low": bar.l, "close": bar.c}
    return made | {"volume": bar.v} if hasattr(bar, "v") else made
