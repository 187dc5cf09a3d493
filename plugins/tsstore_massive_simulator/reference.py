"""Tickers: lists of them, what is known of one, their types and their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsstore_massive_simulator.calendar import FIRST_DAY, day_of
from tsstore_massive_simulator.lists import Listed
from tsstore_massive_simulator.question import NoSuchThingError, Page, parse_day

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from tsstore_massive_simulator.listings import Listing
    from tsstore_massive_simulator.question import Question

_TICKERS = Listed(
    dict.fromkeys(
        (
            *("ticker", "name", "market", "locale", "primary_exchange", "type"),
            *("currency_name", "last_updated_utc", "cik", "composite_figi"),
        ),
        str,
    ),
    "ticker",
    100,
    1000,
    counts=True,
)
_CONTRACTS = Listed(
    dict.fromkeys(("ticker", "underlying_ticker", "contract_type", "expiration_date"), str)
    | {"strike_price": float},
    "ticker",
    10,
    1000,
)
#: What a parameter is called that asks for another name of the field.
_OTHER_NAMES = {"exchange": "primary_exchange"}
_TYPES = (
    ("CS", "Common Stock"),
    ("PFD", "Preferred Stock"),
    ("WARRANT", "Warrant"),
    ("RIGHT", "Rights"),
    ("BOND", "Corporate Bond"),
    ("ETF", "Exchange Traded Fund"),
    ("ETN", "Exchange Traded Note"),
    ("ETV", "Exchange Traded Vehicle"),
    ("SP", "Structured Product"),
    ("ADRC", "American Depository Receipt Common"),
    ("ADRP", "American Depository Receipt Preferred"),
    ("FUND", "Fund"),
    ("BASKET", "Basket"),
    ("UNIT", "Unit"),
    ("LT", "Liquidating Trust"),
    ("OS", "Ordinary Shares"),
    ("GDR", "Global Depository Receipts"),
    ("OTHER", "Other Security Type"),
    ("NYRS", "New York Registry Shares"),
    ("ETS", "Single-security ETF"),
)


def tickers(question: Question) -> Page:
    """A page of tickers, of today or as they were on a day."""
    params = question.params
    day = _day(question)
    is_active = params.get("active", "true") == "true"
    rows = [_ticker(listing, ticker, day) for listing, ticker in _listed(question, day)]
    text = params.get("search", "").lower()
    rows = [
        row
        for row in rows
        if row["active"] == is_active
        and (text in row["ticker"].lower() or text in row["name"].lower())
    ]
    renamed = {_OTHER_NAMES.get(name, name): value for name, value in params.items()}
    return _TICKERS.page(question.with_params(renamed), rows)


def _day(question: Question) -> date:
    text = question.params.get("date")
    return parse_day(text) if text else day_of(question.now_ns)


def _listed(question: Question, day: date) -> Iterator[tuple[Listing, str]]:
    """Listings with the ticker they have on a day, or had last."""
    for market in question.markets.values():
        for listing in market.listings():
            yield listing, listing.ticker_on(day) or listing.ticker


def _ticker(listing: Listing, ticker: str, day: date) -> dict[str, Any]:
    is_active = listing.ticker_on(day) is not None
    row = {
        "active": is_active,
        "currency_name": "usd",
        "last_updated_utc": f"{day}T00:00:00Z",
        "locale": "us",
        "market": listing.market,
        "name": listing.name,
        "ticker": ticker,
    }
    if not is_active and listing.delisted is not None:
        row["delisted_utc"] = f"{listing.delisted}T05:00:00Z"
    if listing.market != "stocks":
        return row
    return row | {
        "cik": listing.cik,
        "composite_figi": listing.figi,
        "primary_exchange": listing.exchange,
        "type": listing.type,
    }


def ticker_details(question: Question) -> Page:
    """What is known of a ticker, today or on a day.

    Raises:
        NoSuchThingError: it is not listed then.
    """
    day = _day(question)
    for listing in question.market.listings():
        if listing.ticker_on(day) == question.parts["ticker"]:
            return Page({"results": _details(listing, question.parts["ticker"], day)})
    raise NoSuchThingError("Ticker not found.")


def _details(listing: Listing, ticker: str, day: date) -> dict[str, Any]:
    row = _ticker(listing, ticker, day)
    del row["last_updated_utc"]
    if listing.market != "stocks":
        return row
    root, _, suffix = ticker.partition(".")
    shares = 1_000_000 * (1 + int(listing.cik) % 16_000)
    return row | {
        "ticker_root": root,
        **({"ticker_suffix": suffix} if suffix else {}),
        "address": {"address1": "1 MARKET ST", "city": "NEW YORK", "state": "NY"},
        "list_date": str(FIRST_DAY),
        "round_lot": 100,
        "share_class_shares_outstanding": shares,
        "sic_code": "3571",
        "sic_description": "ELECTRONIC COMPUTERS",
        "weighted_shares_outstanding": shares,
    }


def ticker_types(question: Question) -> Page:
    """The types of tickers."""
    if question.params.get("asset_class", "stocks") != "stocks":
        return Page({"results": [], "count": 0})
    results = [
        {"asset_class": "stocks", "code": code, "description": text, "locale": "us"}
        for code, text in _TYPES
    ]
    return Page({"results": results, "count": len(results)})


def ticker_events(question: Question) -> Page:
    """Since when a company had which ticker; asked by any of its tickers, its CIK or its FIGI.

    Raises:
        NoSuchThingError: there is no such company.
    """
    for listing in question.market.listings():
        if question.ticker not in (*listing.tickers, listing.cik, listing.figi):
            continue
        events = [
            {"date": str(day), "type": "ticker_change", "ticker_change": {"ticker": ticker}}
            for day, ticker in listing.changes
        ]
        return Page(
            {
                "results": {
                    "name": listing.name,
                    "composite_figi": listing.figi,
                    "cik": listing.cik,
                    "events": events,
                }
            }
        )
    raise NoSuchThingError("Ticker not found.")


def option_contracts(question: Question) -> Page:
    """A page of the options that trade."""
    market = question.markets.get("options")
    rows = [] if market is None else [_contract(ticker) for ticker in market.tickers()]
    return _CONTRACTS.page(question, rows)


def _contract(ticker: str) -> dict[str, Any]:
    """What the name of an option says: root, YYMMDD, C or P, a thousand times the strike."""
    name = ticker.removeprefix("O:")
    root, expiry, kind, strike = name[:-15], name[-15:-9], name[-9], int(name[-8:])
    return {
        "cfi": "OCASPS" if kind == "C" else "OPASPS",
        "contract_type": "call" if kind == "C" else "put",
        "exercise_style": "american",
        "expiration_date": f"20{expiry[:2]}-{expiry[2:4]}-{expiry[4:]}",
        "primary_exchange": "BATO",
        "shares_per_contract": 100,
        "strike_price": strike / 1000 if strike % 1000 else strike // 1000,
        "ticker": ticker,
        "underlying_ticker": root,
    }
