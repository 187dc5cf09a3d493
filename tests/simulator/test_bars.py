"""Bars follow the vendor's rules of which trade counts for what."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tsstore_massive_simulator import bars
from tsstore_massive_simulator.bars import day_bars, window_bars
from tsstore_massive_simulator.conditions import day_rules, window_rules
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.rows import Kind, Rows

SECOND = 10**9
MINUTE = 60 * SECOND
SETS = ((), (37,), (12,), (8, 41), (10,), (15,))
PLAIN, ODD_LOT, FORM_T, CLOSING, DERIVED, OFFICIAL = range(6)


def trades(*rows: tuple[int, float, float, int], tickers: tuple[int, ...] | None = None) -> Rows:
    """Trades of seconds, price, size and condition; `tickers` says how many of each ticker."""
    ts, price, size, codes = zip(*rows, strict=True)
    counts = tickers or (len(rows),)
    return Rows(
        tuple("ABC"[: len(counts)]),
        np.concatenate([[0], np.cumsum(counts)]),
        {
            "sip_timestamp": np.array(ts) * SECOND,
            "price": np.array(price, float),
            "size": np.array(size, float),
            "conditions": np.array(codes),
        },
        SETS,
    )


def test_a_bar_has_first_highest_lowest_and_last_price() -> None:
    bar = window_bars(
        trades((0, 2, 1, PLAIN), (5, 4, 1, PLAIN), (9, 1, 1, PLAIN), (59, 3, 1, PLAIN)), MINUTE
    )
    assert [bar[name].tolist() for name in ("open", "high", "low", "close")] == [[2], [4], [1], [3]]


def test_volume_and_vwap_weigh_sizes() -> None:
    bar = window_bars(trades((0, 1, 100, PLAIN), (1, 4, 200, PLAIN)), MINUTE)
    assert (bar["volume"][0], bar["vwap"][0], bar["transactions"][0]) == (300, 3.0, 2)


def test_windows_without_trades_have_no_bar() -> None:
    bar = window_bars(trades((0, 1, 1, PLAIN), (180, 1, 1, PLAIN)), MINUTE)
    assert bar["window_start"].tolist() == [0, 180 * SECOND]


def test_an_odd_lot_counts_for_volume_only() -> None:
    bar = window_bars(trades((0, 9, 10, ODD_LOT), (1, 2, 100, PLAIN), (2, 1, 5, ODD_LOT)), MINUTE)
    assert (bar["open"][0], bar["high"][0], bar["low"][0], bar["volume"][0]) == (2, 2, 2, 115)


def test_a_window_of_odd_lots_has_no_bar() -> None:
    assert len(window_bars(trades((0, 9, 10, ODD_LOT)), MINUTE)) == 0


def test_a_derived_price_may_be_high_but_not_last() -> None:
    bar = window_bars(trades((0, 2, 1, PLAIN), (1, 5, 1, DERIVED)), MINUTE)
    assert (bar["high"][0], bar["close"][0]) == (5, 2)


def test_extended_hours_make_minute_bars_but_not_the_day_bar() -> None:
    rows = trades((0, 9, 1, FORM_T), (60, 2, 1, PLAIN))
    assert window_bars(rows, MINUTE)["open"].tolist() == [9, 2]
    assert day_bars(rows, 0)["open"].tolist() == [2]


def test_the_closing_auction_is_in_the_day_bar_only() -> None:
    rows = trades((0, 2, 1, PLAIN), (1, 3, 1000, CLOSING))
    assert window_bars(rows, MINUTE)["close"].tolist() == [2]
    assert (day_bars(rows, 0)["close"][0], day_bars(rows, 0)["volume"][0]) == (3, 1001)


def test_an_official_price_is_counted_nowhere() -> None:
    bar = day_bars(trades((0, 2, 1, PLAIN), (1, 7, 50, OFFICIAL)), 0)
    assert (bar["high"][0], bar["volume"][0], bar["transactions"][0]) == (2, 1, 1)


def test_tickers_are_kept_apart() -> None:
    bar = window_bars(trades((0, 1, 1, PLAIN), (0, 2, 1, PLAIN), tickers=(1, 1)), MINUTE)
    assert bar.tickers == ("A", "B")
    assert bar.of("B")["open"].tolist() == [2]


def test_a_ticker_without_a_bar_is_left_out() -> None:
    bar = window_bars(trades((0, 1, 1, ODD_LOT), (0, 2, 1, PLAIN), tickers=(1, 1)), MINUTE)
    assert bar.tickers == ("B",)


def test_unknown_conditions_forbid_nothing() -> None:
    assert day_rules(((999,),)).tolist() == window_rules(((999,),)).tolist() == [7]


@pytest.mark.parametrize("minutes", [5, 60])
def test_coarser_bars_equal_bars_of_the_trades(market: GeneratedMarket, minutes: int) -> None:
    rows = market.rows(Kind.TRADES, date(2026, 10, 1), ["AAPL"])
    fine = window_bars(rows, MINUTE)
    width = minutes * MINUTE
    put_together = bars.coarser(fine.columns, fine["window_start"] // width * width)
    direct = window_bars(rows, width)
    # A minute of odd lots has no bar, so its volume is in no coarser bar either.
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(put_together[name], direct[name])
