"""adjust: rows as if splits and dividends had never been."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tsstore
from tsstore.adjust import AdjustedEngine, Adjustment
from tsstore.clock import ManualClock
from tsstore.errors import InvalidArgumentError
from tsstore.query import Query, run
from tsstore.times import MAX_NS, to_ns

NOW = ManualClock(to_ns("2024-12-31"))
DAY = np.timedelta64(1, "D")
NEW_YORK = "America/New_York"


def days(first: str, count: int) -> Any:
    return (np.datetime64(first) + np.arange(count)).astype("M8[ns]")


def write_days(store: tsstore.Store, first: str, closes: list[float], **more: Any) -> None:
    prices = np.array(closes)
    names = dict.fromkeys(("Open", "High", "Low", "Close"), prices)
    volume = np.full(len(closes), 1000, "u4")
    store.write(
        "A/1D/OHLCV", {"Epoch": days(first, len(closes)), **names, "Volume": volume, **more}
    )


def split(store: tsstore.Store, day: str, before: float, after: float) -> None:
    store.write("A/1D/SPLITS", {"Epoch": [day], "From": [before], "To": [after]})


def dividend(store: tsstore.Store, day: str, *amounts: float) -> None:
    rows = {"Epoch": [day] * len(amounts), "Amount": list(amounts)}
    store.write("A/1D/DIVIDENDS", rows, variable=True)


def adjusted(store: tsstore.Store, call: str = "adjust()", key: str = "A/1D/OHLCV", **more: Any):
    symbol, timeframe, group = key.split("/")
    query = Query((symbol,), timeframe, group, functions=(call,), tz=store.timezone, **more)
    return run(store.engine, query, clock=NOW)[key]


def test_a_split_divides_prices_and_multiplies_volumes_before_it(store: tsstore.Store) -> None:
    write_days(store, "2020-08-27", [500.0, 504.0, 126.0, 127.0])
    split(store, "2020-08-29", 1, 4)

    rows = adjusted(store)

    assert rows["Close"].tolist() == [125.0, 126.0, 126.0, 127.0]
    assert rows["Volume"].tolist() == [4000, 4000, 1000, 1000]
    assert store.read("A/1D/OHLCV")["Close"].tolist() == [500.0, 504.0, 126.0, 127.0]


def test_several_splits_multiply(store: tsstore.Store) -> None:
    write_days(store, "2020-01-01", [12.0, 6.0, 18.0])
    split(store, "2020-01-02", 1, 2)
    split(store, "2020-01-03", 3, 1)

    rows = adjusted(store)

    assert rows["Close"].tolist() == [18.0, 18.0, 18.0]
    assert rows["Volume"].tolist() == [667, 333, 1000]


def test_a_dividend_takes_its_part_of_the_last_price(store: tsstore.Store) -> None:
    write_days(store, "2020-01-01", [50.0, 100.0, 99.0])
    dividend(store, "2020-01-03", 1.0)

    rows = adjusted(store)

    assert rows["Close"].tolist() == [49.5, 99.0, 99.0]
    assert rows["Volume"].tolist() == [1000, 1000, 1000]


def test_two_dividends_of_a_day_are_one(store: tsstore.Store) -> None:
    write_days(store, "2020-01-01", [100.0, 90.0])
    dividend(store, "2020-01-02", 4.0, 6.0)

    assert adjusted(store)["Close"].tolist() == [90.0, 90.0]


def test_a_dividend_of_the_day_of_a_split_is_of_new_shares(store: tsstore.Store) -> None:
    write_days(store, "2020-01-01", [100.0, 49.0])
    split(store, "2020-01-02", 1, 2)
    dividend(store, "2020-01-02", 1.0)

    assert adjusted(store)["Close"].tolist() == [49.0, 49.0]
    assert adjusted(store, "adjust('dividend')")["Close"].tolist() == [98.0, 49.0]
    assert adjusted(store, "adjust('split')")["Close"].tolist() == [50.0, 49.0]


def test_what_is_not_known_on_the_day_changes_nothing(store: tsstore.Store) -> None:
    write_days(store, "2020-01-01", [8.0, 4.0, 2.0])
    split(store, "2020-01-02", 1, 2)
    split(store, "2020-01-03", 1, 2)

    assert adjusted(store, "adjust('2020-01-01')")["Close"].tolist() == [8.0, 4.0, 2.0]
    assert adjusted(store, "adjust('2020-01-02')")["Close"].tolist() == [4.0, 4.0, 2.0]
    assert adjusted(store, "adjust('split', '2020-01-03')")["Close"].tolist() == [2.0, 2.0, 2.0]


def test_a_split_that_is_announced_changes_nothing(store: tsstore.Store) -> None:
    write_days(store, "2024-12-30", [8.0])
    split(store, "2025-01-10", 1, 2)

    assert adjusted(store)["Close"].tolist() == [8.0]


def test_windows_are_made_of_adjusted_rows(store: tsstore.Store) -> None:
    write_days(store, "2020-01-06", [40.0, 44.0, 10.0, 12.0, 11.0])
    split(store, "2020-01-08", 1, 4)

    week = adjusted(store, key="A/1W/OHLCV")

    assert [week[name].tolist() for name in ("Open", "High", "Low", "Close", "Volume")] == [
        [10.0], [12.0], [10.0], [11.0], [11_000],
    ]  # fmt: skip
    month = adjusted(store, key="A/1M/OHLCV", columns=("Close",), limit=1)
    assert month["Close"].tolist() == [11.0]


def test_other_functions_see_adjusted_rows(store: tsstore.Store) -> None:
    write_days(store, "2020-01-06", [40.0, 10.0])
    split(store, "2020-01-07", 1, 4)

    query = Query(("A",), "1D", "OHLCV", functions=("adjust('split')", "max(High)"))
    assert run(store.engine, query, clock=NOW)["A/1D/OHLCV"]["Max"].tolist() == [10.0]
    query = query._replace(functions=("max(High)", "adjust('split')"))
    with pytest.raises(InvalidArgumentError, match="write it before all other functions"):
        run(store.engine, query, clock=NOW)


def test_ticks_are_adjusted_to_the_nanosecond(store: tsstore.Store) -> None:
    instant = to_ns("2020-08-31 04:00")
    ts = np.array([instant - 1, instant, instant + 1]).astype("M8[ns]")
    trades = {"Epoch": ts, "Price": [500.0, 125.0, 125.5], "Size": np.array([3, 3, 3], "u1")}
    store.write("A/1Sec/TRADE", trades, variable=True)
    quotes = {"Epoch": ts, "BidPrice": np.array([499, 124, 124], "f4"), "AskSize": [0.5, 1.0, 1.0]}
    store.write("A/1Sec/QUOTE", quotes, variable=True)
    split_row = {"Epoch": ts[1:2], "From": [1.0], "To": [100.0]}
    store.write("A/1D/SPLITS", split_row, variable=True)

    rows = adjusted(store, key="A/1Sec/TRADE")

    assert rows["Price"].tolist() == [5.0, 125.0, 125.5]
    assert rows["Size"].tolist() == [300, 3, 3]
    rows = adjusted(store, key="A/1Sec/QUOTE")
    assert rows["BidPrice"].tolist() == [np.float32(4.99), 124, 124]
    assert rows["BidPrice"].dtype == np.float32
    assert rows["AskSize"].tolist() == [50.0, 1.0, 1.0]


def test_a_day_begins_at_the_midnight_of_the_store(tmp_path: Any) -> None:
    with tsstore.open(tmp_path, timezone=NEW_YORK) as store:
        at = np.array(["2020-08-31T03:59", "2020-08-31T04:00"], "M8[ns]")
        bars = {"Epoch": at, "Open": [4.0, 1.0], "High": [4.0, 1.0], "Low": [4.0, 1.0]}
        store.write("A/1Min/OHLCV", bars | {"Close": [4.0, 1.0]})
        midnight = np.array(["2020-08-31T04:00"], "M8[ns]")
        store.write("A/1D/SPLITS", {"Epoch": midnight, "From": [1.0], "To": [4.0]})

        assert adjusted(store, key="A/1Min/OHLCV")["Close"].tolist() == [1.0, 1.0]
        assert adjusted(store, key="A/1D/OHLCV")["Close"].tolist() == [1.0, 1.0]


def test_without_splits_and_dividends_rows_stay(store: tsstore.Store) -> None:
    write_days(store, "2020-01-01", [8.0, 4.0], Venue=np.array(["N", "Q"], "U4"))

    rows = adjusted(store)

    assert rows["Close"].tolist() == [8.0, 4.0]
    assert rows["Venue"].tolist() == ["N", "Q"]
    assert len(adjusted(store, start_ns=to_ns("2021-01-01"))) == 0


def test_quotes_alone_cannot_be_adjusted_for_a_dividend(store: tsstore.Store) -> None:
    store.write("A/1Sec/QUOTE", {"Epoch": days("2020-01-01", 1), "BidPrice": [9.0]}, variable=True)
    dividend(store, "2020-01-02", 1.0)

    with pytest.raises(InvalidArgumentError, match="fill that, or adjust for splits only"):
        adjusted(store, key="A/1Sec/QUOTE")
    assert adjusted(store, "adjust('split')", "A/1Sec/QUOTE")["BidPrice"].tolist() == [9.0]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("adjust('merger')", "write adjust\\('split'\\)"),
        ("adjust('2020-13-01')", "write adjust\\('split'\\)"),
        ("adjust(Close)", "extra args used"),
    ],
)
def test_a_call_that_cannot_be_is_refused(store: tsstore.Store, call: str, text: str) -> None:
    write_days(store, "2020-01-01", [8.0])
    with pytest.raises(InvalidArgumentError, match=text):
        adjusted(store, call)


@pytest.mark.parametrize("ratio", [(0.0, 1.0), (1.0, 0.0), (-1.0, 2.0), (np.nan, 1.0)])
def test_a_split_that_cannot_be_is_named(store: tsstore.Store, ratio: tuple[float, float]) -> None:
    write_days(store, "2020-01-01", [8.0])
    split(store, "2020-01-02", *ratio)
    with pytest.raises(InvalidArgumentError, match="A/1D/SPLITS has a split of 2020-01-02"):
        adjusted(store)


@pytest.mark.parametrize("amount", [8.0, 9.0, -1.0, np.nan])
def test_a_dividend_that_cannot_be_is_named(store: tsstore.Store, amount: float) -> None:
    write_days(store, "2020-01-01", [8.0])
    dividend(store, "2020-01-02", amount)
    with pytest.raises(InvalidArgumentError, match="A/1D/DIVIDENDS has a dividend of 2020-01-02"):
        adjusted(store)


def test_a_bucket_of_another_shape_is_named(store: tsstore.Store) -> None:
    write_days(store, "2020-01-01", [8.0])
    store.write("A/1D/SPLITS", {"Epoch": days("2020-01-02", 1), "Ratio": [2.0]})
    with pytest.raises(InvalidArgumentError, match="A/1D/SPLITS has no column 'From' of numbers"):
        adjusted(store)


EVENTS = st.dictionaries(st.integers(1, 9), st.tuples(st.booleans(), st.integers(1, 4)), max_size=5)


@given(EVENTS, st.integers(0, 10))
def test_returns_are_those_of_somebody_who_held_on(
    events: dict[int, tuple[bool, int]], known: int
) -> None:
    """Adjusted prices move as the wealth of who holds the share and reinvests what it pays."""
    closes = [1e6]
    shares = [1.0]
    first = date(2020, 1, 1)
    store = _Bars()
    for day in range(1, 10):
        is_split, size = events.get(day, (True, 1))
        if is_split:
            closes.append(closes[-1] / size * 1.01)
        else:
            closes.append((closes[-1] - size) * 1.01)
        counts = day in events and day <= known
        before = closes[-2] / (closes[-2] - size)
        shares.append(shares[-1] * (1 if not counts else size if is_split else before))
    at = [to_ns(first + timedelta(days=day)) for day in range(10)]
    store.add("A/1D/OHLCV", at, Close=closes)
    store.add("A/1D/SPLITS", [at[d] for d in sorted(events) if events[d][0]],
              From=[1.0] * sum(e[0] for e in events.values()),
              To=[float(events[d][1]) for d in sorted(events) if events[d][0]])  # fmt: skip
    store.add("A/1D/DIVIDENDS", [at[d] for d in sorted(events) if not events[d][0]],
              Amount=[float(events[d][1]) for d in sorted(events) if not events[d][0]])  # fmt: skip
    as_of = to_ns(first + timedelta(days=known))
    engine = AdjustedEngine(store, Adjustment(splits=True, dividends=True, as_of_ns=as_of), "UTC")

    found = engine.scan("A/1D/OHLCV", 0, MAX_NS)["Close"]

    wealth = np.array(closes) * np.array(shares)
    assert np.allclose(found / found[-1], wealth / wealth[-1], rtol=1e-12)
    assert found[-1] == closes[-1]


class _Bars:
    """An engine of a few rows."""

    def __init__(self) -> None:
        self._rows: dict[str, tsstore.Columns] = {}

    def add(self, key: str, ts: list[int], **arrays: list[float]) -> None:
        columns = {name: np.array(array, float) for name, array in arrays.items()}
        self._rows[key] = tsstore.Columns(np.array(ts, np.int64), columns)

    def keys(self) -> list[str]:
        return sorted(self._rows)

    def schema(self, key: str) -> tsstore.Schema:
        return self._rows[key].schema

    def scan(self, key: str, start_ns: int, end_ns: int, **options: Any) -> tsstore.Columns:
        rows = self._rows[key]
        rows = rows.take((rows.ts >= start_ns) & (rows.ts <= end_ns))
        if options.get("limit"):
            rows = rows.slice(max(0, len(rows) - options["limit"]), len(rows))
        return rows
