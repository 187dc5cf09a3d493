"""What the engine is asked for: the symbols, times and columns that a statement needs, no more."""

from __future__ import annotations

import pytest

from tsstore.times import MAX_NS, MIN_NS

from .conftest import NS, SYMBOLS, T0, Read

BARS = '"*/1Min/OHLCV"'
AAPL = '"AAPL/1Min/OHLCV"'
TIME = "2013-10-08 14:00:00"
TIME_NS = (T0 + 1800) * NS
ALL = [f"{symbol}/1Min/OHLCV" for symbol in SYMBOLS]


def keys(reads: list[Read]) -> list[str]:
    return [read.key for read in reads]


def test_one_symbol_a_range_and_one_column_are_read(database, recorder) -> None:
    found = database.run(
        f"SELECT avg(Close) FROM {BARS} WHERE Symbol = 'AMZN' AND Epoch >= '{TIME}'"
    )
    assert found.rows() == [(1000 + (30 + 999) / 2,)]
    assert recorder.reads == [Read("AMZN/1Min/OHLCV", TIME_NS, MAX_NS, ["Close"])]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (f"Epoch >= '{TIME}'", (TIME_NS, MAX_NS)),
        (f"Epoch > '{TIME}'", (TIME_NS, MAX_NS)),
        (f"Epoch < '{TIME}'", (MIN_NS, TIME_NS)),
        (f"'{TIME}' <= Epoch", (TIME_NS, MAX_NS)),
        (f"Epoch = '{TIME}'", (TIME_NS, TIME_NS)),
        (f"Epoch >= TIMESTAMP '{TIME}'", (TIME_NS, MAX_NS)),
        ("Epoch >= DATE '2013-10-09'", (1_381_276_800 * NS, MAX_NS)),
        (f"Epoch >= {T0 + 1800}", (TIME_NS, MAX_NS)),
        ("Epoch >= '2013-10-08-14:00'", (TIME_NS, MAX_NS)),
        (f"Epoch BETWEEN '{TIME}' AND '2013-10-08 14:00:01.5'", (TIME_NS, TIME_NS + 3 * NS // 2)),
        (f"Epoch IN ('{TIME}', '2013-10-08 14:30:00')", (TIME_NS, TIME_NS + 1800 * NS)),
        (
            f"Epoch IN ('{TIME}', '2013-10-08 14:10:00', '2013-10-08 14:30:00')",
            (TIME_NS, TIME_NS + 1800 * NS),
        ),
        (f"(Epoch < '{TIME}' OR Epoch > '2013-10-08 15:00')", (MIN_NS, MAX_NS)),
        (f"(Epoch = '{TIME}' OR Epoch = '2013-10-08 15:00')", (TIME_NS, TIME_NS + 3600 * NS)),
        (f"(Epoch > '{TIME}' AND Epoch < '2013-10-08 15:00')", (TIME_NS, TIME_NS + 3600 * NS)),
        (f"(Epoch > '{TIME}' OR Close > 3)", (MIN_NS, MAX_NS)),
        (f"NOT (Epoch > '{TIME}')", (MIN_NS, TIME_NS)),
        (f"Epoch <> '{TIME}'", (MIN_NS, MAX_NS)),
        ("Epoch > 'infinity'", (MIN_NS, MAX_NS)),
        (f"Epoch + INTERVAL 1 HOUR > '{TIME}'", (MIN_NS, MAX_NS)),
        (f"Epoch >= make_timestamp_ns({TIME_NS + 1})", (TIME_NS + 1, MAX_NS)),
    ],
)
def test_the_time_is_read_from_the_plan(database, recorder, filled, condition, expected) -> None:
    statement = f"SELECT Epoch, Close FROM {AAPL} WHERE {condition}"
    found = database.run(statement)
    assert [read[1:3] for read in recorder.reads] == [expected]
    # The answer is what DuckDB finds among all rows.
    everything = filled.read("AAPL/1Min/OHLCV")
    selected = database.run(f"SELECT Epoch, {condition} AS kept FROM {AAPL}")
    assert found["Epoch"].astype(int).tolist() == everything.ts[selected["kept"]].tolist()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("Symbol = 'AAPL'", [0]),
        ("'AAPL' = Symbol", [0]),
        ("Symbol <> 'AAPL'", [1, 2]),
        ("Symbol IN ('MSFT', 'NOPE', 'AAPL')", [0, 2]),
        ("Symbol NOT IN ('MSFT', 'AAPL')", [1]),
        ("Symbol LIKE 'A%'", [0, 1]),
        ("Symbol LIKE '%Z_'", [1]),
        ("Symbol ILIKE 'a%'", [0, 1]),
        ("starts_with(Symbol, 'AM')", [1]),
        ("upper(Symbol) = 'MSFT'", [2]),
        ("length(Symbol) = 3", []),
        ("(Symbol = 'AAPL' OR Symbol = 'MSFT')", [0, 2]),
        ("Symbol > 'AM'", [1, 2]),
        ("(Symbol = 'AAPL' OR Close < 0)", [0, 1, 2]),
        ("Symbol = 'AAPL' AND Symbol = 'MSFT'", []),
        ("Symbol = '\"t0c0\" = ''x'''", []),
    ],
)
def test_symbols_are_chosen_before_they_are_read(database, recorder, condition, expected) -> None:
    found = database.run(f"SELECT DISTINCT Symbol FROM {BARS} WHERE {condition} ORDER BY ALL")
    assert keys(recorder.reads) == [ALL[index] for index in expected]
    if "Close" not in condition:
        assert found["Symbol"].tolist() == [SYMBOLS[index] for index in expected]


@pytest.mark.parametrize(
    "condition", ["regexp_matches(Symbol, '^A.*Z')", "Symbol = 'AMZN' OR Epoch < '2000-01-01'"]
)
def test_what_is_not_understood_is_filtered_by_duckdb(database, recorder, condition) -> None:
    found = database.run(f"SELECT count(*), min(Close) FROM {BARS} WHERE {condition}")
    assert found.rows() == [(1000, 1000)]
    assert keys(recorder.reads) == ALL


def test_parameters_are_pushed_down_as_well(database, recorder) -> None:
    database.run(f"SELECT Close FROM {BARS} WHERE Symbol = ? AND Epoch < ?", ["MSFT", TIME])
    database.run(f"SELECT Close FROM {BARS} WHERE Symbol = $s AND Epoch < $e",
                 {"s": "MSFT", "e": TIME})  # fmt: skip
    assert recorder.reads == [Read("MSFT/1Min/OHLCV", MIN_NS, TIME_NS, ["Close"])] * 2


def test_counting_reads_no_data_column(database, recorder) -> None:
    assert database.run(f"SELECT count(*) FROM {BARS}").rows() == [(3000,)]
    assert {tuple(read.columns) for read in recorder.reads} == {()}


def test_filters_reach_tables_in_subqueries_joins_and_unions(database, recorder) -> None:
    database.run(
        f"""
        WITH late AS (SELECT * FROM {BARS} WHERE Epoch >= '{TIME}')
        SELECT late.Close, other.Close
        FROM late JOIN (SELECT * FROM "MSFT/1Min/OHLCV") other USING (Epoch)
        WHERE late.Symbol = 'AAPL'
        """
    )
    by_key = {read.key: read for read in recorder.reads}
    assert by_key["AAPL/1Min/OHLCV"][1:3] == (TIME_NS, MAX_NS)
    assert set(by_key) == {"AAPL/1Min/OHLCV", "MSFT/1Min/OHLCV"}


def test_a_table_that_is_named_twice_is_read_for_both(database, recorder) -> None:
    found = database.run(
        f"""
        SELECT count(*) FROM {BARS} a, {BARS} b
        WHERE a.Symbol = 'AAPL' AND a.Epoch = '{TIME}' AND b.Symbol = 'MSFT' AND b.Epoch < '{TIME}'
        """
    )
    assert found.rows() == [(30,)]
    assert sorted(keys(recorder.reads)) == ["AAPL/1Min/OHLCV", "MSFT/1Min/OHLCV"]
    assert {read[1:3] for read in recorder.reads} == {(MIN_NS, TIME_NS)}


def test_an_outer_join_keeps_rows_without_a_match(database) -> None:
    found = database.run(
        f"""
        SELECT count(*), count(b.Close) FROM {AAPL} a
        LEFT JOIN "MSFT/1Min/OHLCV" b ON a.Epoch = b.Epoch AND b.Epoch < '{TIME}'
        """
    )
    assert found.rows() == [(1000, 30)]


def test_a_window_sees_the_rows_before_the_range(database) -> None:
    found = database.run(
        f"""
        SELECT before FROM (SELECT Epoch, lag(Close) OVER (ORDER BY Epoch) AS before FROM {AAPL})
        WHERE Epoch = '{TIME}'
        """
    )
    assert found.rows() == [(29,)]


def test_a_bucket_with_names_of_the_plan_is_told_apart(store, recorder) -> None:
    """A column called like a table of ours must not pass for it."""
    store.write("X/1Min/Y", {"Epoch": [T0, T0 + 60], "t0c1": [7, 8], "Symbol": [1, 2]})
    found = store.sql('SELECT t0c1 FROM "X/1Min/Y" WHERE t0c1 = 8 AND "Symbol" = 2')
    assert found["t0c1"].tolist() == [8]
    found = store.sql(
        """SELECT n FROM (SELECT Symbol_1 AS t0c0, t0c1 AS n FROM "*/1Min/Y") WHERE t0c0 = 2"""
    )
    assert found["n"].tolist() == [8]


def test_a_computed_timeframe_is_read_from_its_bars(database, recorder) -> None:
    found = database.run(f"""SELECT Epoch, Close FROM "AAPL/5Min/OHLCV" WHERE Epoch = '{TIME}'""")
    assert found["Close"].tolist() == [34]
    assert [(read.key, read.columns) for read in recorder.reads] == [("AAPL/1Min/OHLCV", ["Close"])]
    start_ns, end_ns = recorder.reads[0][1:3]
    assert (start_ns, end_ns) == (TIME_NS, TIME_NS + 300 * NS - 1)


def test_a_limit_ends_the_reading(database, recorder) -> None:
    found = database.run(f"SELECT * FROM {BARS} LIMIT 3")
    assert len(found) == 3
    assert found["Symbol"].tolist() == ["AAPL"] * 3
