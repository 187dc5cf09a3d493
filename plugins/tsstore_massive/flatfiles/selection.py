"""Which tickers are wanted."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tsstore.key import KeyPattern, is_pattern
from tsstore_massive.symbols import bucket_symbol, market_of, parse_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsstore.api import StoreApi
    from tsstore_massive.flatfiles.catalogue import FlatSet

#: Characters of a name that is written out; longer ones are shortened to a digest.
NAME_MAX = 64


class Selection:
    """Tickers by name and by pattern; remembers what it decided.

    Args:
        include: exact tickers in any spelling that names their market, or patterns with `*`, `?`,
            `[]` and `{}` of tickers as files spell them.
        exclude: the same, for what is left out of them.

    Attributes:
        names: the exact tickers among the wanted.
        is_exact: whether there is no pattern among the wanted.
        name: the selection as text of at most `NAME_MAX` characters.

    Raises:
        InvalidKeyError: a ticker or pattern that cannot be right.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str] = ()) -> None:
        wanted, unwanted = (sorted(set(map(_spelled, texts))) for texts in (include, exclude))
        self._wanted, self._unwanted = wanted, unwanted
        self._include, self._exclude = _Matcher(wanted), _Matcher(unwanted)
        self._decided: dict[str, bool] = {}
        exact = (text for text in wanted if not is_pattern(text))
        self.names = tuple(text for text in exact if not self._exclude.matches(text))
        self.is_exact = not any(map(is_pattern, wanted))
        self.name = _name(",".join(wanted) + "".join(f",!{text}" for text in unwanted))

    def without(self, tickers: Iterable[str]) -> Selection:
        """The same, and these are left out as well."""
        return Selection(self._wanted, [*self._unwanted, *tickers])

    def __contains__(self, ticker: str) -> bool:
        decided = self._decided.get(ticker)
        if decided is None:
            decided = self._include.matches(ticker) and not self._exclude.matches(ticker)
            self._decided[ticker] = decided
        return decided


def symbols_of(store: StoreApi, flat: FlatSet, selection: Selection) -> list[str]:
    """The tickers that are named, and those of the store that a pattern means."""
    stored = (key.partition("/")[0] for key in store.list(f"*/{flat.group}"))
    found = {*selection.names, *(symbol for symbol in stored if symbol in selection)}
    return sorted(symbol for symbol in found if market_of(symbol) == flat.market)


def _spelled(text: str) -> str:
    return text if is_pattern(text) else parse_symbol(text)


class _Matcher:
    def __init__(self, texts: list[str]) -> None:
        self._exact = {text for text in texts if not is_pattern(text)}
        self._patterns = [KeyPattern(f"{text}/1Min/OHLCV") for text in texts if is_pattern(text)]

    def matches(self, ticker: str) -> bool:
        if ticker in self._exact:
            return True
        key = f"{bucket_symbol(ticker) or ticker}/1Min/OHLCV"
        return any(pattern.matches(key) for pattern in self._patterns)


def _name(text: str) -> str:
    if len(text) <= NAME_MAX:
        return text
    return "#" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
