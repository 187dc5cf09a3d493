"""How a symbol is spelled: by buckets, by the socket, and by REST.

| market | bucket, flat files, REST ticks | socket | REST bars |
|---|---|---|---|
| stocks | `AAPL`, `BRK.B`, `BCpC` | the same | the same |
| options | `O:SPY251219C00650000` | the same | the same |
| indices | `I:SPX` | the same | the same |
| forex | `C:EUR-USD` | `EUR/USD` | `C:EURUSD` |
| crypto | `X:BTC-USD` | `BTC-USD` | `X:BTCUSD` |
| futures | `GCZ6`, `ESZ6-ESH7` | the same | the same |

Capitals and small letters stay as they are: `BCpC` is not `BCPC`.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from tsstore.errors import InvalidKeyError
from tsstore.key import check_part

if TYPE_CHECKING:
    from collections.abc import Mapping

Market: TypeAlias = Literal["stocks", "options", "indices", "forex", "crypto", "futures"]

#: Plans limit a key as a whole, or the requests for one of these.
AssetClass: TypeAlias = Literal[
    "stocks", "options", "indices", "forex", "crypto", "futures", "reference"
]

MARKETS: tuple[Market, ...] = ("stocks", "options", "indices", "forex", "crypto", "futures")

_PREFIXES: Mapping[Market, str] = {"options": "O:", "indices": "I:", "forex": "C:", "crypto": "X:"}
_OF_PREFIX: Mapping[str, Market] = {prefix: market for market, prefix in _PREFIXES.items()}
_PAIRS = frozenset({"forex", "crypto"})

#: A product, the letter of a month and the last digits of a year; tickers of stocks have no digits.
_CONTRACT = r"[A-Z0-9]{1,4}[FGHJKMNQUVXZ][0-9]{1,2}"
#: A contract, or one against another.
_FUTURE = re.compile(rf"{_CONTRACT}(-{_CONTRACT})?")
#: A root, the day on which it expires, call or put, and the price.
_OPTION = re.compile(r"O:[A-Z0-9]+?([0-9]{2})([0-9]{2})([0-9]{2})[CP][0-9]{8}")
_PAIR = re.compile(r"([A-Z0-9]+)[-/]([A-Z0-9]+)")
#: What is no stock: the vendor writes classes and warrants with one or two letters (`BRK/B`).
_BARE_PAIR = re.compile(r"[A-Z0-9]{3,}[-/][A-Z0-9]{3,}")
_FOREX = re.compile(r"([A-Z]{3})([A-Z]{3})")
#: What crypto is quoted in. None of these ends with another, so that a pair has one reading.
_CRYPTO = re.compile(r"([A-Z0-9]+)(USD|EUR|GBP|JPY|AUD|CAD|CHF|BTC|ETH|USDT|USDC)")


def market_of(symbol: str) -> Market:
    """The market of a bucket's symbol, and of any other spelling that has the prefix."""
    market = _OF_PREFIX.get(symbol[:2])
    if market is not None:
        return market
    return "futures" if _FUTURE.fullmatch(symbol) else "stocks"


def parse_symbol(text: str, market: Market | None = None) -> str:
    """The bucket's symbol of any spelling, the vendor's or a person's.

    Args:
        text: such as `C:EURUSD`; without the prefix when the market is given.
        market: whose symbol it is; without it, that of the prefix.

    Raises:
        InvalidKeyError: it is of another market, a pair that can be read in several ways, or
            nothing that a bucket can be named.
    """
    prefix = text[:2] if text[:2] in _OF_PREFIX else ""
    market = market or market_of(text)
    if prefix and prefix != _PREFIXES.get(market):
        raise InvalidKeyError(f"{text!r} is a symbol of {_OF_PREFIX[prefix]}, not of {market}")
    name = text[len(prefix) :]
    if market in _PAIRS:
        name = _pair(name, market)
    elif market != "futures" and _BARE_PAIR.fullmatch(name):
        dashed = name.replace("/", "-")
        raise InvalidKeyError(
            f"{text!r} is a pair; write C:{dashed} for forex or X:{dashed} for crypto"
        )
    name = name.replace("/", ".")
    # The prefix alone is no symbol.
    symbol = _PREFIXES.get(market, "") + name if name.strip(".") else name
    check_part("symbol", symbol)
    return symbol


@lru_cache(maxsize=65_536)
def bucket_symbol(vendor_symbol: str, market: Market | None = None) -> str | None:
    """The bucket's symbol of a vendor's one; None when there is none, see `parse_symbol`."""
    try:
        return parse_symbol(vendor_symbol, market)
    except InvalidKeyError:
        return None


def expiry_of(symbol: str) -> date | None:
    """The last day of a contract of options; None of all else, whose symbols do not tell."""
    found = _OPTION.fullmatch(symbol)
    if found is None:
        return None
    try:
        return date.fromisoformat(f"20{found[1]}-{found[2]}-{found[3]}")
    except ValueError:
        return None


def streamed_symbol(symbol: str) -> str:
    """What the socket calls a bucket's symbol, in topics and in events."""
    market = market_of(symbol)
    if market == "forex":
        return symbol[2:].replace("-", "/")
    return symbol[2:] if market == "crypto" else symbol


def bars_symbol(symbol: str) -> str:
    """What REST calls a bucket's symbol where it tells bars, tickers and snapshots."""
    return symbol.replace("-", "") if market_of(symbol) in _PAIRS else symbol


def _pair(name: str, market: Market) -> str:
    joined = _FOREX if market == "forex" else _CRYPTO
    found = _PAIR.fullmatch(name) or joined.fullmatch(name)
    if found is None:
        raise InvalidKeyError(
            f"{name!r} is no pair of {market} that can be read in one way; "
            f"write it as {_PREFIXES[market]}BASE-QUOTE, such as {_EXAMPLES[market]}"
        )
    return f"{found[1]}-{found[2]}"


_EXAMPLES: Mapping[Market, str] = {"forex": "C:EUR-USD", "crypto": "X:BTC-USD"}
