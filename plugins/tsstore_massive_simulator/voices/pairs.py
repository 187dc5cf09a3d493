"""Bars of pairs, which currencies and crypto share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator import cells, events
from tsstore_massive_simulator.calendar import MINUTE_NS
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.sources import MinuteBars, SecondBars

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tsstore_massive_simulator.rows import Rows
    from tsstore_massive_simulator.sources import Asked, At

_MS = 1_000_000


class _Bar(msgspec.Struct, omit_defaults=True):
    pair: str
    o: float
    c: float
    h: float
    l: float  # noqa: E741 the vendor's name
    v: float | int
    s: int
    e: int
    vw: float | None = None
    z: float | None = None


class ForexMinute(_Bar, tag_field="ev", tag="CA"):
    """A bar of a minute of a currency pair."""


class ForexSecond(_Bar, tag_field="ev", tag="CAS"):
    """A bar of a second of a currency pair."""


class CryptoMinute(_Bar, tag_field="ev", tag="XA"):
    """A bar of a minute of a crypto pair."""


class CryptoSecond(_Bar, tag_field="ev", tag="XAS"):
    """A bar of a second of a crypto pair."""


class PairBars:
    """Makes the bars of one market.

    Args:
        minute: the event of a minute.
        second: the event of a second.
        name: what the socket calls a ticker.
        has_vwap: whether volume-weighted prices and average sizes are told.
    """

    def __init__(
        self,
        minute: type[_Bar],
        second: type[_Bar],
        name: Callable[[str], str],
        *,
        has_vwap: bool,
    ) -> None:
        self._minute = minute
        self._second = second
        self._name = name
        self._has_vwap = has_vwap

    def minutes(self, asked: Asked) -> MinuteBars:
        """Bars of a minute."""
        rows = asked.rows(Kind.MINUTES)
        return MinuteBars(
            rows,
            asked.timing,
            lambda at, early: self._events(self._minute, MINUTE_NS, rows, at, early),
        )

    def seconds(self, asked: Asked) -> SecondBars:
        """Bars of a second."""
        rows = asked.market.second_bars(asked.day, asked.tickers)
        return SecondBars(
            rows,
            asked.timing.second_ns,
            lambda at, early: self._events(self._second, NS_PER_SECOND, rows, at, early),
        )

    def _events(
        self, kind: type[_Bar], width_ns: int, rows: Rows, at: At, early: NDArray[np.bool_]
    ) -> list[Any]:
        start = rows["window_start"][at] // _MS
        volume = rows["volume"][at]
        volume = np.where(early, np.round(volume * events.EARLY_VOLUME, 8), volume)
        average = (volume / np.maximum(rows["transactions"][at], 1)).round(4).tolist()
        absent = [None] * len(average)
        return list(
            map(
                kind,
                map(self._name, cells.tickers_at(rows, at)),
                *(rows[name][at].tolist() for name in ("open", "close", "high", "low")),
                cells.plain(volume),
                start.tolist(),
                (start + width_ns // _MS).tolist(),
                cells.numbers(rows["vwap"][at]) if self._has_vwap else absent,
                average if self._has_vwap else absent,
            )
        )
