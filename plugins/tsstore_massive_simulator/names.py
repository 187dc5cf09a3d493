"""Names of tickers."""

from __future__ import annotations

_KNOWN_TICKERS = (
    *("SPY", "NVDA", "AAPL", "TSLA", "QQQ", "MSFT", "AMZN", "AMD", "META", "GOOGL"),
    *("PLTR", "IWM", "BAC", "INTC", "AVGO", "JPM", "NFLX", "XOM", "F", "T"),
    *("PFE", "WMT", "DIS", "KO", "BRK.B", "CSCO", "ORCL", "UBER", "BA", "BACpL"),
    *("IBM", "AIG", "GM", "V", "HD", "C", "WFC", "GE", "MU", "CVX"),
)
_SYLLABLES = "BCDFGHJKLMNPRSTVWZ", "AEIOU", "BCDGKLMNPRSTX"


def ticker_names(count: int) -> list[str]:
    """Names of as many tickers, the busiest first: well-known ones, then invented ones."""
    names = list(_KNOWN_TICKERS[:count])
    taken = set(names)
    first, second, third = _SYLLABLES
    number = 0
    while len(names) < count:
        rest, a = divmod(number, len(first))
        rest, b = divmod(rest, len(second))
        rest, c = divmod(rest, len(third))
        rest, d = divmod(rest, len(second))
        name = first[a] + second[b] + third[c] + second[d] + (first[rest - 1] if rest else "")
        if name not in taken:
            names.append(name)
        number += 1
    return names
