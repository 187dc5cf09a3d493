"""Random requests have one answer, or one error, over msgpack, JSON and gRPC."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .carriers import CallError, Carrier
from .conftest import Server

T0 = 1_381_239_000  # 2013-10-08 13:30:00 UTC
PRICES = ("Open", "High", "Low", "Close")
TIMEFRAMES = ["1Min", "5Min", "60Min", "24H", "1D", "1W", "3M", "1Y", "7Min", "1Sec", "1X", ""]
COLUMNS = [*PRICES, "Volume", "Price", "Size", "Side", "Epoch", "Nanoseconds", "nope", ""]
FUNCTIONS = [
    *("max(Open)", " MIN ( Price ) ", "avg(Close)", "sum(Volume)", "last(Close)", "max(Side)"),
    *("gap('1Min')", "gap()", "gap('1X')", "max(Open", "foo(Open)", "max()", "max(Open, Close)"),
    "candlecandler('5Min',Open,High,Low,Close)",
    "candlecandler('1H', Open, High, Low, Close, Sum::Volume, Avg::Open)",
    "tickcandler('1Min', CandlePrice::Price, Sum::Size)",
    *("vwap('5Min', Close, Volume)", "adjust()", "adjust('split', '2013-10-09')"),
]
#: Instants near the rows, and those at the ends of all numbers.
SECONDS = st.integers(T0 - 500_000, T0 + 500_000) | st.sampled_from(
    [1, -1, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63)]
)
NANOS = st.sampled_from([1, 999_999_999, -1, 2**40])
SYMBOLS = st.lists(st.sampled_from(["A", "B", "C", "A", "", "*", "B*", "a b"]), max_size=4)
DESTINATIONS = st.builds(
    "{}/{}/{}{}".format,
    SYMBOLS.map(",".join),
    st.sampled_from(TIMEFRAMES),
    st.sampled_from(["OHLCV", "OHLCV", "TRADE", "NONE", "*"]),
    st.sampled_from(["", "", ":Symbol/Timeframe/AttributeGroup", "/", ":"]),
) | st.sampled_from(["", "A", "A/1Min", "//", "OHLCV/A/1Min"])
QUERIES = st.fixed_dictionaries(
    {"destination": DESTINATIONS},
    optional={
        "epoch_start": SECONDS,
        "epoch_start_nanos": NANOS,
        "epoch_end": SECONDS,
        "epoch_end_nanos": NANOS,
        "limit_record_count": st.sampled_from([0, 1, 2, 100, 2**31 - 1, -1, -(2**31)]),
        "limit_from_start": st.booleans(),
        "columns": st.lists(st.sampled_from(COLUMNS), max_size=4),
        "functions": st.lists(st.sampled_from(FUNCTIONS), min_size=1, max_size=2),
        "key_category": st.sampled_from(
            ["", "Symbol/Timeframe", "AttributeGroup/Symbol/Timeframe"]
        ),
    },
)
KINDS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "b1", "U16", "U3"]
TYPES = st.sampled_from([*KINDS, *KINDS, ">f4", ">i8", "f2", "S4", "c16", "M8[s]"])
EPOCHS = st.integers(T0 - 500_000, T0 + 500_000) | st.sampled_from([0, -1, T0 * 1000, 2**63 - 1])


@st.composite
def written(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Columns of a write: unsorted, doubled, of odd types and names, maybe without time or rows."""
    rows = draw(st.integers(0, 5))
    epochs = draw(st.lists(EPOCHS, min_size=rows, max_size=rows))
    names = st.sampled_from(["P", "Q", "Epoch", "Nanoseconds", "ts", "", "a/b", "x" * 200])
    columns = draw(st.dictionaries(names, TYPES, max_size=4))
    numbers = np.arange(rows) - 1
    found = {"Epoch": np.array(epochs, "i8")}
    found |= {name: numbers.astype(kind) for name, kind in columns.items()}
    if len(found) > 1 and draw(st.integers(0, 9)) == 0:
        del found["Epoch"]
    if draw(st.booleans()) and rows > 1:
        first = next(iter(found))
        found[first] = found[first][: draw(st.integers(rows - 1, rows))]
    return found


@pytest.fixture
def filled(server: Server) -> Server:
    """Bars of A and B, of B in narrow and wide timeframes, and trades of A."""
    rng = np.random.default_rng(7)
    epochs = T0 + 60 * rng.permutation(5_000)[:500]
    bars = {"Epoch": epochs, **{name: rng.normal(100, 9, 500) for name in PRICES}}
    bars["Close"][::50] = np.nan
    rpc = server.carriers["msgpack"]
    rpc.write("A/1Min/OHLCV", {**bars, "Volume": rng.integers(0, 99, 500)})
    rpc.write("B/5Min/OHLCV", {**bars, "Volume": rng.integers(0, 99, 500)})
    rpc.write("C/1Min/OHLCV", {**bars, "Volume": rng.normal(50, 9, 500)})
    ticks = {
        "Epoch": T0 + rng.integers(0, 9_000, 500),
        "Price": rng.normal(100, 9, 500),
        "Size": rng.integers(1, 9, 500).astype("u4"),
        "Side": rng.choice(["buy", "sell"], 500).astype("U16"),
        "Nanoseconds": rng.integers(-(10**9), 2 * 10**9, 500).astype("i4"),
    }
    rpc.write("A/1Sec/TRADE", ticks, variable=True)
    return server


def answer(carrier: Carrier, request: dict[str, Any]) -> Any:
    """The dataset, or the text of the error, without what differs with the time of the call."""
    try:
        (found,) = carrier.query(request)
    except CallError as error:
        assert "internal error" not in str(error)
        return str(error)
    columns = dict(found.columns)
    if "functions" in request and len(columns["Epoch"]) == 1:
        del columns["Epoch"]  # of a summary it is now
    return repr(columns), found.types, found.keys


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request_=QUERIES)
def test_queries_have_one_answer(filled, request_):
    if request_.get("epoch_end") == 0:
        del request_["epoch_end"]
    answers = [answer(carrier, request_) for carrier in filled.carriers.values()]
    assert answers[0] == answers[1] == answers[2]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=written(), variable=st.booleans())
def test_writes_have_one_outcome(server, columns, variable):
    outcomes = []
    for carrier in server.carriers.values():
        failures = carrier.write("A/1Min/X", columns, variable=variable)
        assert "internal error" not in str(failures)
        request = {"destination": "A/1Min/X", "epoch_start": -(2**62)}
        outcomes.append((failures, answer(server.carriers["msgpack"], request)))
        carrier.destroy("A/1Min/X")
    assert outcomes[0] == outcomes[1] == outcomes[2]
