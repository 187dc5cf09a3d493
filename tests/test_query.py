"""query: what is asked for, over a model of the storage below."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore import query
from tsstore.aggregate import resample
from tsstore.clock import ManualClock
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError, InvalidKeyError, NotFoundError
from tsstore.query import Query
from tsstore.schema import Schema
from tsstore.timeframe import Timeframe
from tsstore.times import to_ns

DAY = "2013-10-08"
T0 = to_ns(f"{DAY} 13:30") // 10**9
OHLCV = ("Open", "High", "Low", "Close", "Volume")


class Rows:
    """An engine over given Columns that remembers what was scanned."""

    def __init__(self, buckets):
        self.buckets = buckets
        self.scanned = []

    def keys(self):
        return sorted(self.buckets)

    def schema(self, key):
        if key not in self.buckets:
            raise NotFoundError(key)
        return self.buckets[key].schema

    def scan(self, key, start_ns, end_ns, *, limit=0, from_start=False, columns=None):
        self.scanned.append((key, start_ns, end_ns, limit, columns))
        rows = self.buckets[key]
        rows = rows.take((rows.ts >= start_ns) & (rows.ts <= end_ns))
        if limit:
            first = 0 if from_start else max(0, len(rows) - limit)
            rows = rows.slice(first, first + limit)
        return rows if columns is None else rows.select(list(columns))


def minutes(count, start=T0, step=60):
    ts = (start + step * np.arange(count)) * 10**9
    return Columns(ts, {name: np.arange(count) + index / 8 for index, name in enumerate(OHLCV)})


def ticks(*instants_ns):
    prices = {"Price": np.arange(len(instants_ns), dtype=float)}
    return Columns(np.array(instants_ns, np.int64), prices, variable=True)


@pytest.fixture
def engine():
    return Rows(
        {
            "AAPL/1Min/OHLCV": minutes(100),
            "MSFT/1Min/OHLCV": minutes(50),
            "MSFT/1Min/TRADE": ticks(T0 * 10**9, T0 * 10**9 + 1, T0 * 10**9 + 2),
            "EMPTY/1Min/OHLCV": minutes(0),
        }
    )


def epochs(columns):
    return [(int(epoch) - T0) // 60 for epoch in columns["Epoch"]]


# Names


def test_one_bucket_gives_columns(engine):
    assert len(query.read(engine, "AAPL/1Min/OHLCV")) == 100


def test_a_key_may_carry_the_suffix_of_marketstore(engine):
    assert len(query.read(engine, "AAPL/1Min/OHLCV:Symbol/Timeframe/AttributeGroup")) == 100


@pytest.mark.parametrize(
    ("key", "group", "wanted"),
    [
        (["MSFT", "AAPL"], "1Min/OHLCV", ["AAPL/1Min/OHLCV", "MSFT/1Min/OHLCV"]),
        (["MSFT", "MSFT", "NONE"], "1Min/OHLCV", ["MSFT/1Min/OHLCV"]),
        ("MSFT", "1Min/TRADE", ["MSFT/1Min/TRADE"]),
        (["A*", "MSFT"], "1Min/OHLCV", ["AAPL/1Min/OHLCV", "MSFT/1Min/OHLCV"]),
        (
            "*",
            "1Min/*",
            ["AAPL/1Min/OHLCV", "EMPTY/1Min/OHLCV", "MSFT/1Min/OHLCV", "MSFT/1Min/TRADE"],
        ),
        ("A*/1Min/OHLCV", None, ["AAPL/1Min/OHLCV"]),
        ("{AAPL,MSFT}/1Min/OHLCV", None, ["AAPL/1Min/OHLCV", "MSFT/1Min/OHLCV"]),
        ("MSFT/*/*", None, ["MSFT/1Min/OHLCV", "MSFT/1Min/TRADE"]),
        ("[AM]*/5Min/OHLCV", None, ["AAPL/5Min/OHLCV", "MSFT/5Min/OHLCV"]),
        (np.array(["AAPL"]), "1Min/OHLCV", ["AAPL/1Min/OHLCV"]),
    ],
)
def test_lists_and_patterns_give_a_sorted_mapping(engine, key, group, wanted):
    assert list(query.read(engine, key, group)) == wanted


@pytest.mark.parametrize(
    ("key", "group"),
    [
        ("NONE/1Min/OHLCV", None),
        ("NONE*/1Min/OHLCV", None),
        (["NONE", "NADA"], "1Min/OHLCV"),
        ([], "1Min/OHLCV"),
        ("AAPL/30Sec/OHLCV", None),
        ("MSFT/5Min/TRADE", None),
        ("*/30Sec/OHLCV", None),
    ],
)
def test_nothing_found_says_both_texts_that_clients_look_for(engine, key, group):
    with pytest.raises(NotFoundError) as caught:
        query.read(engine, key, group)

    assert "no results returned from query" in str(caught.value)
    assert "no files returned from query parse" in str(caught.value)


def test_the_text_names_what_was_asked_for(engine):
    with pytest.raises(NotFoundError, match="Target: NONE,NADA/1Min/OHLCV"):
        query.read(engine, ["NONE", "NADA"], "1Min/OHLCV")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((["AAPL"],), InvalidArgumentError),
        ((5,), InvalidArgumentError),
        (("AAPL",), InvalidKeyError),
        (("AAPL/1X/OHLCV",), InvalidKeyError),
        (("../1Min/OHLCV",), InvalidKeyError),
        (("*/1Min",), InvalidKeyError),
        (("[/1Min/OHLCV",), InvalidKeyError),
        ((["A/B"], "1Min/OHLCV"), InvalidKeyError),
        (([5], "1Min/OHLCV"), InvalidArgumentError),
        ((["AAPL"], "1Min"), InvalidArgumentError),
        ((["AAPL"], 5), InvalidArgumentError),
        ((["AAPL"], "1X/OHLCV"), InvalidKeyError),
        ((["AAPL"], "1Min/a b"), InvalidKeyError),
    ],
)
def test_a_name_that_cannot_be_is_refused(engine, arguments, error):
    with pytest.raises(error):
        query.read(engine, *arguments)


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": True},
        {"limit": 1.5},
        {"limit": "5"},
        {"columns": "Close"},
        {"columns": [5]},
        {"columns": ["Close", "Nope"]},
        {"start": "yesterday"},
        {"end": float("nan")},
        {"tz": "Mars/Olympus"},
    ],
)
def test_an_option_that_cannot_be_is_refused(engine, options):
    with pytest.raises(InvalidArgumentError):
        query.read(engine, "AAPL/1Min/OHLCV", **options)


# Ranges


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        (T0 + 60, T0 + 120, [1, 2]),
        (T0 + 90, T0 + 150, [1, 2]),
        (T0 + 119, T0 + 119, [1]),
        (T0 - 500, T0 + 59, [0]),
        (T0 + 120, T0 + 60, []),
        (T0 + 59, T0 + 1, []),
        (T0 + 99 * 60, None, [99]),
        (f"{DAY} 13:31:30", f"{DAY} 13:32", [1, 2]),
    ],
)
def test_a_fixed_bucket_gives_every_slot_the_range_touches(engine, start, end, wanted):
    assert epochs(query.read(engine, "AAPL/1Min/OHLCV", start=start, end=end)) == wanted


def test_a_fixed_bucket_of_days_has_slots_of_the_stores_zone():
    midnight = to_ns("2013-10-08", "America/New_York")
    engine = Rows({"A/1D/OHLCV": minutes(1, midnight // 10**9)})

    found = query.read(engine, "A/1D/OHLCV", start=f"{DAY} 20:00", store_tz="America/New_York")

    assert found.ts.tolist() == [midnight]


def test_a_variable_bucket_is_exact_to_the_nanosecond(engine):
    start = np.datetime64(T0 * 10**9 + 1, "ns")

    assert query.read(engine, "MSFT/1Min/TRADE", start=start, end=start)["Price"].tolist() == [1.0]


def test_no_rows_in_the_range_are_columns_of_no_rows(engine):
    for key in ("AAPL/1Min/OHLCV", "AAPL/5Min/OHLCV", "EMPTY/1Min/OHLCV", "EMPTY/5Min/OHLCV"):
        for start, end in ((1, 2), (2, 1)):
            found = query.read(engine, key, start=start, end=end)
            assert (len(found), found.names) == (0, OHLCV)


def test_times_without_a_zone_are_in_the_given_one(engine):
    found = query.read(
        engine,
        "AAPL/1Min/OHLCV",
        start=f"{DAY} 09:31",
        limit=1,
        from_start=True,
        tz="America/New_York",
    )

    assert epochs(found) == [1]
    assert found.tz == "America/New_York"


# Limits and columns


def test_a_limit_gives_the_last_rows(engine):
    assert epochs(query.read(engine, "AAPL/1Min/OHLCV", limit=2)) == [98, 99]


def test_a_limit_from_the_start_gives_the_first_rows(engine):
    assert epochs(query.read(engine, "AAPL/1Min/OHLCV", limit=2, from_start=True)) == [0, 1]


def test_a_limit_is_per_bucket(engine):
    found = query.read(engine, ["AAPL", "MSFT"], "1Min/OHLCV", limit=3)

    assert [len(rows) for rows in found.values()] == [3, 3]


def test_columns_come_in_the_order_asked_for_and_once(engine):
    for key in ("AAPL/1Min/OHLCV", "AAPL/5Min/OHLCV"):
        found = query.read(engine, key, columns=["Volume", "Epoch", "Open", "Volume"])
        assert found.names == ("Volume", "Open")


def test_an_unknown_column_is_named_with_those_there_are(engine):
    with pytest.raises(InvalidArgumentError, match="has no column 'Nope'; there are Open, High"):
        query.read(engine, "AAPL/5Min/OHLCV", columns=["Nope"])


def test_unknown_columns_can_be_passed_over(engine):
    asked = Query(("AAPL",), "1Min", "OHLCV", columns=("Nope", "Close"), drop_unknown_columns=True)

    assert query.run(engine, asked)["AAPL/1Min/OHLCV"].names == ("Close",)


def test_functions_come_after_columns(engine):
    asked = Query(
        ("AAPL",), "1Min", "OHLCV", columns=("Close",), functions=("count(*)", "max(Count)")
    )

    found = query.run(engine, asked, clock=ManualClock(7))["AAPL/1Min/OHLCV"]

    assert (found.ts.tolist(), found["Max"].tolist()) == ([7], [100])
    with pytest.raises(InvalidArgumentError, match="unable to retrieve column named Open"):
        query.run(
            engine, Query(("AAPL",), "1Min", "OHLCV", columns=("Close",), functions=("max(Open)",))
        )


def test_a_wrong_function_is_found_before_reading(engine):
    with pytest.raises(InvalidArgumentError, match="UDA Registry"):
        query.run(engine, Query(("AAPL",), "1Min", "OHLCV", functions=("foo(Open)",)))

    assert engine.scanned == []


# Computed timeframes


def test_a_timeframe_that_is_not_stored_is_computed(engine):
    found = query.read(engine, "AAPL/5Min/OHLCV")

    wanted = resample(minutes(100), Timeframe.parse("5Min"))
    assert found.ts.tolist() == wanted.ts.tolist()
    for name in OHLCV:
        assert found[name].tolist() == wanted[name].tolist()


def test_the_coarsest_timeframe_that_divides_is_used():
    engine = Rows(
        {
            "A/1Min/OHLCV": minutes(600),
            "A/5Min/OHLCV": minutes(120, step=300),
            "A/15Min/OHLCV": minutes(40, step=900),
            "A/2H/OHLCV": minutes(5, step=7200),
        }
    )
    for asked, base in (("30Min", "15Min"), ("10Min", "5Min"), ("3Min", "1Min"), ("4H", "2H")):
        engine.scanned.clear()
        query.read(engine, f"A/{asked}/OHLCV")
        assert engine.scanned[0][0] == f"A/{base}/OHLCV"


def test_stored_rows_win_over_computed_ones():
    engine = Rows({"A/1Min/OHLCV": minutes(600), "A/5Min/OHLCV": minutes(0)})

    assert len(query.read(engine, "A/5Min/OHLCV")) == 0


def test_names_that_begin_alike_are_other_symbols():
    names = ("A", "A-", "A.B", "A0", "AA")
    buckets = {f"{name}/1Min/OHLCV": minutes(600) for name in names}
    engine = Rows({**buckets, "A/5Min/TRADE": minutes(600), "A0/5Min/OHLCV": minutes(600)})

    query.read(engine, "A/1H/OHLCV")

    assert {scanned[0] for scanned in engine.scanned} == {"A/1Min/OHLCV"}
    assert list(query.read(engine, "A*/1H/OHLCV")) == sorted(f"{name}/1H/OHLCV" for name in names)


def test_symbols_of_one_query_are_computed_each_from_its_own():
    engine = Rows({"A/1Min/OHLCV": minutes(60), "B/5Min/OHLCV": minutes(12, step=300)})

    found = query.read(engine, "*/1H/OHLCV")

    assert list(found) == ["A/1H/OHLCV", "B/1H/OHLCV"]


def test_only_the_columns_needed_are_read(engine):
    query.read(engine, "AAPL/5Min/OHLCV", columns=["Close"])

    assert engine.scanned[0][4] == ["Close"]


def test_windows_are_whole_whatever_the_range(engine):
    found = query.read(engine, "AAPL/5Min/OHLCV", start=T0 + 400, end=T0 + 600)

    whole = query.read(engine, "AAPL/5Min/OHLCV")
    assert epochs(found) == [5, 10]
    assert found["Volume"].tolist() == whole["Volume"][1:3].tolist()


def test_days_are_those_of_the_stores_zone():
    late = to_ns("2013-10-08 23:58", "America/New_York") // 10**9
    engine = Rows({"A/1Min/OHLCV": minutes(4, late)})

    found = query.read(engine, "A/1D/OHLCV", store_tz="America/New_York")

    assert found.ts.tolist() == [
        to_ns(day, "America/New_York") for day in ("2013-10-08", "2013-10-09")
    ]


@given(
    offsets=st.lists(st.integers(0, 400), unique=True, max_size=60).map(sorted),
    limit=st.integers(1, 12),
    from_start=st.booleans(),
    timeframe=st.sampled_from(["2Min", "5Min", "1H", "1D", "1M"]),
    start=st.none() | st.integers(0, 500),
    end=st.none() | st.integers(0, 500),
    scale=st.sampled_from([1, 60, 24 * 60]),
)
def test_a_limit_of_computed_rows_is_a_cut_of_all(
    offsets, limit, from_start, timeframe, start, end, scale
):
    ts = (T0 + 60 * scale * np.array(offsets, np.int64)) * 10**9
    values = np.array(offsets, float)
    engine = Rows({"A/1Min/OHLCV": Columns(ts, dict.fromkeys(OHLCV, values))})
    key = f"A/{timeframe}/OHLCV"
    span = {
        "start": None if start is None else T0 + 60 * scale * start,
        "end": None if end is None else T0 + 60 * scale * end,
    }

    cut = query.read(engine, key, limit=limit, from_start=from_start, **span)

    whole = query.read(engine, key, **span)
    rows = slice(0, limit) if from_start else slice(-limit, None)
    assert cut.ts.tolist() == whole.ts[rows].tolist()
    for name in OHLCV:
        assert cut[name].tolist() == whole[name][rows].tolist()


def test_a_limit_reads_about_as_many_rows_as_it_needs():
    engine = Rows({"A/1Min/OHLCV": minutes(100_000)})

    query.read(engine, "A/5Min/OHLCV", limit=10)

    assert [scan[3] for scan in engine.scanned] == [60]


@pytest.mark.parametrize("timeframe", ["5Min", "1D", "1Y", "100Y"])
def test_ranges_at_the_ends_of_time_are_ranges(engine, timeframe):
    for start in (np.datetime64("1677-09-22"), np.datetime64("1700-01-01")):
        found = query.read(
            engine, f"AAPL/{timeframe}/OHLCV", start=start, end=np.datetime64("2262-04-11")
        )
        assert found["Volume"].sum() == minutes(100)["Volume"].sum()


def test_a_bucket_destroyed_while_it_is_read_is_left_out(engine):
    class Vanishing(Rows):
        def scan(self, key, *arguments, **options):
            if key.startswith("MSFT"):
                raise NotFoundError(key)
            return super().scan(key, *arguments, **options)

    vanishing = Vanishing(engine.buckets)

    assert list(query.read(vanishing, "{AAPL,MSFT}/1Min/OHLCV")) == ["AAPL/1Min/OHLCV"]
    assert list(query.read(vanishing, "{AAPL,MSFT}/5Min/OHLCV")) == ["AAPL/5Min/OHLCV"]


def test_bars_without_volume_make_bars_without_volume():
    columns = minutes(10).select(["Open", "High", "Low", "Close"])

    found = query.read(Rows({"A/1Min/OHLCV": columns}), "A/5Min/OHLCV")

    assert found.schema == Schema.of(dict.fromkeys(OHLCV[:4], "f8"))


@pytest.mark.parametrize(
    ("now", "timeframe", "is_partial"),
    [
        (T0 + 299, "1Min", True),
        (T0 + 300, "1Min", False),
        (T0 + 299, "5Min", True),
        (T0 + 300, "5Min", False),
        (T0 + 301, "1D", True),
        (to_ns("2013-10-09") // 10**9 - 1, "1D", True),
        (to_ns("2013-10-09") // 10**9, "1D", False),
        (to_ns("2013-12-31 23:59:59") // 10**9, "1Y", True),
        (to_ns("2014-01-01") // 10**9, "1Y", False),
    ],
)
def test_the_last_bar_is_partial_until_its_slot_is_over(now, timeframe, is_partial):
    engine = Rows({"A/1Min/OHLCV": minutes(5)})
    asked = Query(("A",), timeframe, "OHLCV")

    def found(query):
        return next(iter(query_run(engine, query, now).values()))

    assert found(asked).partial is is_partial
    assert found(asked._replace(columns=("Close",), limit=1)).partial is is_partial
    assert found(asked._replace(start_ns=to_ns("2100-01-01"))).partial is False


def test_rows_that_are_no_bars_are_named():
    engine = Rows({"A/1Min/CLOSES": Columns(np.arange(3) * 60 * 10**9, {"Close": np.arange(3.0)})})
    with pytest.raises(NotFoundError, match="A/1Min/CLOSES has no Open, High, Low and Close"):
        query.run(engine, Query(("A",), "1H", "CLOSES"))


def test_ticks_are_never_partial():
    engine = Rows({"A/1Sec/TRADE": ticks(1, 2)})
    assert not query_run(engine, Query(("A",), "1Sec", "TRADE"), 0)["A/1Sec/TRADE"].partial


def test_columns_know_whether_their_last_row_is_partial():
    rows = minutes(5).as_partial()

    assert rows.partial
    assert rows.select(["Close"]).partial
    assert rows.in_zone("America/New_York").partial
    assert rows.slice(3, 5).partial
    assert not rows.slice(0, 4).partial
    assert not rows.slice(5, 5).partial


def query_run(engine, asked, now):
    return query.run(engine, asked, clock=ManualClock(now * 10**9))
