"""Price bands, auction imbalances and fair values of stocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator.calendar import MINUTE_NS
from tsstore_massive_simulator.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tsstore_massive_simulator.calendar import Session

    Prices = Callable[[NDArray[np.int64]], NDArray[np.float64]]

_EVERY_NS = 30 * NS_PER_SECOND
_BAND = 0.05
_BAND_SETS = ((15,), (16,), (21,), (17,), (18,))
_COMMON_BANDS = 3
_IMBALANCE_EVERY_NS = 5 * NS_PER_SECOND
_NYSE = 10
#: Tape C, of Nasdaq's listings, of which alone halts are told.
_NASDAQ_TAPE = 3
_HALT_SHARE = 0.05


def bands(
    name: str, hours: Session, tape: int, prices: Prices, random: np.random.Generator
) -> Rows:
    """Price bands through the regular hours; a halt and its end on some days."""
    ts = _every(_EVERY_NS, hours.open_ns, hours.close_ns, random)
    count = len(ts)
    middle = prices(ts)
    indicators = random.choice(_COMMON_BANDS, count, p=(0.9, 0.08, 0.02)).astype(np.int32)
    if tape == _NASDAQ_TAPE and random.random() < _HALT_SHARE:
        halt = int(random.integers(1, count - 10))
        indicators[[halt, halt + 10]] = 3, 4
    columns: dict[str, NDArray[Any]] = {
        "high_price": (middle * (1 + _BAND)).round(2),
        "low_price": (middle * (1 - _BAND)).round(2),
        "indicators": indicators,
        "sequence_number": 3_000_000 + np.cumsum(random.integers(1, 400, count)),
        "sip_timestamp": ts,
        "tape": np.full(count, tape, np.uint8),
    }
    return Rows((name,), np.array([0, count]), columns, _BAND_SETS)


def imbalances(name: str, hours: Session, prices: Prices, random: np.random.Generator) -> Rows:
    """Imbalances in the minutes before the opening and the closing auction."""
    opening = _every(_IMBALANCE_EVERY_NS, hours.open_ns - 5 * MINUTE_NS, hours.open_ns, random)
    closing = _every(_IMBALANCE_EVERY_NS, hours.close_ns - 10 * MINUTE_NS, hours.close_ns, random)
    ts = np.concatenate([opening, closing])
    count = len(ts)
    at_open = ts < hours.open_ns
    closing_time = 1300 if hours.is_half_day else 1600
    columns: dict[str, NDArray[Any]] = {
        "auction_time": np.where(at_open, 930, closing_time).astype(np.int32),
        "auction_type": np.where(at_open, "O", "C"),
        "book_clearing_price": prices(ts).round(2),
        "exchange": np.full(count, _NYSE, np.uint8),
        "imbalance_quantity": random.integers(-50_000, 50_000, count),
        "paired_quantity": random.integers(0, 500_000, count),
        "sip_timestamp": ts,
        "symbol_sequence": np.arange(1, count + 1),
    }
    return Rows((name,), np.array([0, count]), columns)


def fair_values(name: str, hours: Session, prices: Prices, random: np.random.Generator) -> Rows:
    """What the vendor thinks a ticker is worth, through the regular hours."""
    ts = _every(_EVERY_NS, hours.open_ns, hours.close_ns, random)
    columns = {"value": prices(ts).round(4), "sip_timestamp": ts}
    return Rows((name,), np.array([0, len(ts)]), columns)


def _every(
    width_ns: int, first_ns: int, last_ns: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """One instant in each stretch of a span."""
    starts = np.arange(first_ns, last_ns, width_ns)
    return np.asarray(starts + random.integers(0, width_ns, len(starts)))
