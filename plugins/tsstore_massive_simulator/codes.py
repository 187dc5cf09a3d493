"""The vendor's tables of codes: exchanges, and conditions of trades and quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsstore_massive_simulator import conditions as rules
from tsstore_massive_simulator.lists import Listed
from tsstore_massive_simulator.question import Page

if TYPE_CHECKING:
    from tsstore_massive_simulator.question import Question

#: Id, MIC, letter on the tape, name and type of the exchanges for stocks.
_EXCHANGES = (
    (1, "XASE", "A", "NYSE American, LLC", "exchange"),
    (2, "XBOS", "B", "Nasdaq Texas, LLC", "exchange"),
    (3, "XCIS", "C", "NYSE National, Inc.", "exchange"),
    (4, "XADF", "D", "FINRA Alternative Display Facility", "TRF"),
    (5, "", "E", "Unlisted Trading Privileges", "SIP"),
    (6, "XISE", "I", "International Securities Exchange, LLC - Stocks", "TRF"),
    (7, "EDGA", "J", "Cboe EDGA", "exchange"),
    (8, "EDGX", "K", "Cboe EDGX", "exchange"),
    (9, "XCHI", "M", "NYSE Texas, Inc.", "exchange"),
    (10, "XNYS", "N", "New York Stock Exchange", "exchange"),
    (11, "ARCX", "P", "NYSE Arca, Inc.", "exchange"),
    (12, "XNAS", "T", "Nasdaq", "exchange"),
    (13, "", "S", "Consolidated Tape Association", "SIP"),
    (14, "LTSE", "L", "Long-Term Stock Exchange", "exchange"),
    (15, "IEXG", "V", "Investors Exchange", "exchange"),
    (16, "CBSX", "W", "Cboe Stock Exchange", "TRF"),
    (17, "XPHL", "X", "Nasdaq Philadelphia Exchange LLC", "exchange"),
    (18, "BATY", "Y", "Cboe BYX", "exchange"),
    (19, "BATS", "Z", "Cboe BZX", "exchange"),
    (20, "EPRL", "H", "MIAX Pearl", "exchange"),
    (21, "MEMX", "U", "Members Exchange", "exchange"),
    (22, "24EQ", "G", "24X National Exchange", "exchange"),
    (23, "TXSE", "F", "Texas Stock Exchange", "exchange"),
    (62, "OOTC", "", "OTC Equity Security", "ORF"),
    (201, "FINY", "", "FINRA NYSE TRF", "TRF"),
    (202, "FINN", "", "FINRA Nasdaq TRF Carteret", "TRF"),
    (203, "FINC", "", "FINRA Nasdaq TRF Chicago", "TRF"),
)
_OTHER_EXCHANGES = {
    "options": ((300, "XBOX", "", "Nasdaq BX Options", "exchange"),
                (302, "BATO", "", "Cboe BZX Options", "exchange"),
                (312, "XISX", "", "Nasdaq ISE Options", "exchange"),
                (322, "XCBO", "", "Cboe Options", "exchange")),
    "fx": ((44, "", "", "Currency Banks 1", "exchange"),
           (48, "", "", "Currency Banks 2", "exchange")),
    "crypto": ((1, "", "", "Coinbase", "exchange"), (2, "", "", "Bitfinex", "exchange"),
               (6, "", "", "Bitstamp", "exchange"), (23, "", "", "Kraken", "exchange")),
    "futures": ((4, "XCME", "", "CME Globex", "exchange"),
                (1, "XCBT", "", "CBOT", "exchange"), (2, "XCEC", "", "COMEX", "exchange"),
                (3, "XNYM", "", "NYMEX", "exchange")),
}  # fmt: skip

#: Id and name of the conditions of trades, with the letters of the tapes where they are simple.
_SALE_CONDITIONS = (
    (0, "Regular Sale", "@", "@"), (1, "Acquisition", "", "A"),
    (2, "Average Price Trade", "B", "W"), (3, "Automatic Execution", "", ""),
    (4, "Bunched Trade", "", "B"), (5, "Bunched Sold Trade", "", "G"),
    (6, "CAP Election", "", ""), (7, "Cash Sale", "C", "C"), (8, "Closing Prints", "6", "6"),
    (9, "Cross Trade", "X", "X"), (10, "Derivatively Priced", "4", "4"),
    (11, "Distribution", "", "D"), (12, "Form T", "T", "T"),
    (13, "Extended Trading Hours (Sold Out of Sequence)", "U", "U"),
    (14, "Intermarket Sweep", "F", "F"), (15, "Market Center Official Close", "M", "M"),
    (16, "Market Center Official Open", "Q", "Q"), (17, "Market Center Opening Trade", "", ""),
    (20, "Next Day", "N", "N"), (21, "Price Variation Trade", "H", "H"),
    (22, "Prior Reference Price", "P", "P"), (23, "Rule 155 Trade (AMEX)", "K", "K"),
    (25, "Opening Prints", "O", "O"), (27, "Stopped Stock", "", ""),
    (28, "Re-Opening Prints", "5", "5"), (29, "Seller", "R", "R"), (30, "Sold Last", "L", "L"),
    (32, "Sold (Out of Sequence)", "Z", "Z"), (33, "Sold + Stopped Stock", "", ""),
    (34, "Split Trade", "", "S"), (35, "Stock Option Trade", "V", "V"),
    (36, "Yellow Flag Regular Trade", "", "Y"), (37, "Odd Lot Trade", "I", "I"),
    (38, "Corrected Consolidated Close", "9", "9"), (41, "Trade Thru Exempt", "", ""),
    (52, "Contingent Trade", "V", "V"), (53, "Qualified Contingent Trade", "7", "7"),
)  # fmt: skip
_QUOTE_CONDITIONS = (
    (1, "Regular, Two-Sided Open"), (2, "Regular, One-Sided Open"), (13, "Opening Quote"),
    (14, "Closing Quote"), (15, "Closed Quote"), (16, "Resume"), (17, "Fast Trading"),
    (20, "Non-Firm"), (40, "On-Demand Intra-Day Auction"), (41, "Cash Only Settlement"),
    (42, "Next Day Settlement"), (43, "LULD Trading Pause"), (84, "Crossed Market"),
    (85, "Locked Market"),
)  # fmt: skip
_CONDITIONS = Listed(
    {"id": int, "asset_class": str, "type": str, "name": str, "data_types": str},
    "id",
    10,
    1000,
    counts=True,
)


def exchanges(question: Question) -> Page:
    """The exchanges of an asset class, those for stocks when none is asked for."""
    asset_class = question.params.get("asset_class", "stocks")
    table = _OTHER_EXCHANGES.get(asset_class, ()) if asset_class != "stocks" else _EXCHANGES
    results = [
        {
            "id": number,
            "type": kind,
            "asset_class": asset_class,
            "locale": "us" if asset_class in ("stocks", "options") else "global",
            "name": name,
            **({"mic": mic, "operating_mic": mic} if mic else {}),
            **({"participant_id": letter} if letter else {}),
        }
        for number, mic, letter, name, kind in table
    ]
    return Page({"results": results, "count": len(results)})


def conditions(question: Question) -> Page:
    """A page of the conditions; an id may mean one thing for trades and another for quotes."""
    rows = [*map(_sale_condition, _SALE_CONDITIONS), *map(_quote_condition, _QUOTE_CONDITIONS)]
    data_type = question.params.get("data_type")
    if data_type:
        rows = [row for row in rows if data_type in row["data_types"]]
    return _CONDITIONS.page(question, rows)


def _sale_condition(condition: tuple[int, str, str, str]) -> dict[str, Any]:
    number, name, cta, utp = condition
    allowed = int(rules.day_rules(((number,),))[0])
    updates = {
        "updates_high_low": bool(allowed & rules.HIGH_LOW),
        "updates_open_close": bool(allowed & rules.OPEN_CLOSE),
        "updates_volume": bool(allowed & rules.VOLUME),
    }
    mapping = {tape: letter for tape, letter in (("CTA", cta), ("UTP", utp)) if letter}
    return {
        "id": number,
        "type": "sale_condition",
        "name": name,
        "asset_class": "stocks",
        "data_types": ["trade"],
        **({"sip_mapping": mapping} if mapping else {}),
        "update_rules": {"consolidated": updates, "market_center": updates},
    }


def _quote_condition(condition: tuple[int, str]) -> dict[str, Any]:
    number, name = condition
    return {
        "id": number,
        "type": "quote_condition",
        "name": name,
        "asset_class": "stocks",
        "data_types": ["nbbo"],
    }
