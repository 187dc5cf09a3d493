"""What somebody may have meant by a symbol of which the vendor has nothing."""

from __future__ import annotations

import re

from tsstore_massive.symbols import bucket_symbol, market_of

_CONTRACT = re.compile(r"[A-Z]{1,6}[0-9]{6}[CP][0-9]{8}")
_JOINED = re.compile(r"[A-Z0-9]{2,}(USD|EUR|GBP|JPY|AUD|CAD|CHF|BTC|ETH|USDT|USDC)")
_CURRENCIES = frozenset({"AUD", "CAD", "CHF", "CNH", "EUR", "GBP", "JPY", "NZD", "SEK", "USD"})


def likely_symbol(symbol: str) -> str | None:
    """The usual spelling of a symbol that is none: `AAPL` of `aapl`, `X:BTC-USD` of `BTCUSD`.

    None when nothing is likelier than the symbol itself.
    """
    upper = symbol.upper()
    meant = _with_prefix(upper) or bucket_symbol(upper)
    return None if meant == symbol else meant


def _with_prefix(upper: str) -> str | None:
    if market_of(upper) != "stocks":
        return None
    if _CONTRACT.fullmatch(upper):
        return f"O:{upper}"
    if not _JOINED.fullmatch(upper):
        return None
    is_forex = {upper[:3], upper[3:]} <= _CURRENCIES
    return bucket_symbol(f"{'C' if is_forex else 'X'}:{upper}")
