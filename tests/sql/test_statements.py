"""What statements answer: types, names, cross-sections, joins, dialect, errors."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import sleep

import numpy as np
import pandas as pd
import pytest

import tsstore
from tsstore import Schema
from tsstore.errors import (
    BusyError,
    ClosedError,
    CorruptionError,
    InvalidArgumentError,
    InvalidKeyError,
    LimitExceededError,
    NotFoundError,
)
from tsstore.sql import SqlDatabase, SqlLimits

from .conftest import NS, ROWS, SYMBOLS, T0, Recorder

AAPL = '"AAPL/1Min/OHLCV"'
BARS = '"*/1Min/OHLCV"'
ENDLESS = "SELECT max(sqrt(a.range * b.range)) FROM range(1000000) a, range(1000000) b"


def test_a_bucket_has_its_time_and_its_columns(filled) -> None:
    found = filled.sql(f"SELECT * FROM {AAPL}")
    rows = filled.read("AAPL/1Min/OHLCV")
    assert found.names == ("Epoch", *rows.names)
    assert found["Epoch"].dtype == "M8[ns]"
    assert found["Epoch"].astype(np.int64).tolist() == rows.ts.tolist()
    for name in rows.names:
        assert found[name].dtype == rows[name].dtype
        assert found[name].tolist() == rows[name].tolist()


def test_nanoseconds_of_ticks_are_kept(rows) -> None:
    found = rows('SELECT epoch_ns(Epoch), epoch_ns(max(Epoch) OVER ()) FROM "AAPL/1Sec/TRADE"')
    assert [ns - T0 * NS for ns, _ in found] == [10, 10, 20, 35, 40]
    assert {last - T0 * NS for _, last in found} == {40}


@pytest.mark.parametrize(
    "name", ['"*/1Min/OHLCV"', '"1Min/OHLCV"', "`*/1Min/OHLCV`", '"{AAPL,AMZN,MSFT}/1Min/OHLCV"',
             '"AAPL,MSFT,AMZN/1Min/OHLCV"']
)  # fmt: skip
def test_a_cross_section_has_the_symbols(filled, name) -> None:
    found = filled.sql(f"SELECT * FROM {name}")
    assert found.names[:2] == ("Symbol", "Epoch")
    assert found["Symbol"].tolist() == [symbol for symbol in SYMBOLS for _ in range(ROWS)]


def test_a_glob_of_groups_shows_these_as_well(filled) -> None:
    found = filled.sql('SELECT DISTINCT Symbol, Timeframe, AttributeGroup FROM "AAPL/*/*" '
                       "ORDER BY ALL")  # fmt: skip
    assert found.rows() == [
        ("AAPL", "1Min", "OHLCV"), ("AAPL", "1Sec", "QUOTE"), ("AAPL", "1Sec", "TRADE"),
    ]  # fmt: skip


def test_buckets_with_other_columns_go_together_by_name(store) -> None:
    store.write("A/1D/X", {"Epoch": [0], "N": np.array([1], "i2"), "Both": [1.5]})
    store.write("B/1D/X", {"Epoch": [0], "Both": np.array([2], "i4"), "Text": np.array(["b"])})
    found = store.sql('SELECT * FROM "*/1D/X"')
    assert found.names == ("Symbol", "Epoch", "N", "Both", "Text")
    epoch = dt.datetime(1970, 1, 1)
    assert found.rows() == [("A", epoch, 1, 1.5, None), ("B", epoch, None, 2.0, "b")]


def test_text_and_numbers_do_not_go_together(store) -> None:
    store.write("A/1D/X", {"Epoch": [0], "Value": [1.5]})
    store.write("B/1D/X", {"Epoch": [0], "Value": np.array(["b"])})
    with pytest.raises(InvalidArgumentError, match=r"'Value' of f8 and of U1"):
        store.sql('SELECT * FROM "*/1D/X"')


def test_names_that_differ_in_capitals_only_are_told_apart(store) -> None:
    store.write("A/1D/X", {"Epoch": [0], "open": [1.0], "Open": [2.0], "epoch": [3.0]})
    found = store.sql('SELECT * FROM "A/1D/X"')
    assert dict(zip(found.names, found.rows()[0], strict=True)) == {
        "Epoch": dt.datetime(1970, 1, 1), "open": 1.0, "Open_1": 2.0, "epoch_1": 3.0,
    }  # fmt: skip
    store.write("a/1D/X", {"Epoch": [0], "open": [1.0]})
    with pytest.raises(InvalidArgumentError, match="capitals"):
        store.sql('SELECT * FROM "A/1D/X" JOIN "a/1D/X" USING (Epoch)')


def test_nan_is_a_value_that_is_not_there(store) -> None:
    store.write("A/1D/X", {"Epoch": [0, 86_400], "V": [np.nan, 4.0]})
    found = store.sql('SELECT avg(V), count(V), count(*) FROM "A/1D/X"')
    assert found.rows() == [(4.0, 1, 2)]
    assert np.isnan(store.sql('SELECT V FROM "A/1D/X" LIMIT 1')["V"][0])


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"])
def test_numbers_keep_their_type(store, kind) -> None:
    values = np.array([1, 2, 100], kind)
    store.write("A/1D/X", {"Epoch": [0, 86_400, 172_800], "V": values})
    assert store.sql('SELECT V FROM "A/1D/X"')["V"].dtype == values.dtype
    assert store.sql('SELECT V FROM "A/1D/X" WHERE V > 1')["V"].tolist() == [2, 100]


def test_text_and_booleans_are_read(store) -> None:
    rows = {"Epoch": [0, 86_400], "T": np.array(["é", "longer than twelve"]), "B": [True, False]}
    store.write("A/1D/X", rows)
    assert store.sql('SELECT T, B FROM "A/1D/X"').rows() == [
        ("é", True), ("longer than twelve", False),
    ]  # fmt: skip


def test_sums_of_integers_are_integers(rows) -> None:
    assert rows(f"SELECT sum(Volume) FROM {AAPL}") == [(ROWS * (ROWS - 1) // 2,)]
    assert type(rows(f"SELECT sum(Volume) FROM {AAPL}")[0][0]) is int
    huge = rows("SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) v(x)")
    assert huge == [(2**63,)]


def test_a_computed_timeframe_is_a_table(filled) -> None:
    found = filled.sql('SELECT * FROM "AAPL/1H/OHLCV"')
    hours = filled.read("AAPL/1H/OHLCV")
    assert found["Epoch"].astype(np.int64).tolist() == hours.ts.tolist()
    assert found["Volume"].tolist() == hours["Volume"].tolist()


def test_windows_and_groups(rows) -> None:
    found = rows(
        f"""
        SELECT Symbol, time_bucket(INTERVAL 1 HOUR, Epoch) AS hour, first(Open ORDER BY Epoch),
               max(High), min(Low), last(Close ORDER BY Epoch), sum(Volume)
        FROM {BARS} GROUP BY ALL ORDER BY ALL LIMIT 2
        """
    )
    assert found == [
        ("AAPL", dt.datetime(2013, 10, 8, 13), -0.5, 30, -1, 29, 435),
        ("AAPL", dt.datetime(2013, 10, 8, 14), 29.5, 90, 29, 89, 3570),
    ]


def test_an_asof_join_finds_the_quote_of_each_trade(filled) -> None:
    found = filled.sql(
        """
        SELECT t.Price, q.Bid FROM "AAPL/1Sec/TRADE" t
        ASOF JOIN "AAPL/1Sec/QUOTE" q ON t.Epoch >= q.Epoch ORDER BY t.Epoch, t.Price
        """
    )
    assert found["Bid"].tolist() == [9.0, 9.0, 9.2, 9.2, 9.3]
    joined = filled.asof("AAPL/1Sec/TRADE", "AAPL/1Sec/QUOTE")
    assert found["Bid"].tolist() == joined["Bid"].tolist()


def test_joins_are_planned_for_many_rows(rows) -> None:
    """DuckDB takes a dataset for one row, and would compare each trade with each quote."""
    on = "ON t.Epoch >= q.Epoch"
    tables = '"AAPL/1Sec/TRADE" t {} JOIN "AAPL/1Sec/QUOTE" q'
    asof = rows(f"EXPLAIN SELECT * FROM {tables.format('ASOF')} {on}")[0][1]
    inner = rows(f"EXPLAIN SELECT * FROM {tables.format('')} {on}")[0][1]
    assert "Asof Join" in asof
    assert "Nested Loop" not in asof + inner


def test_columns_of_one_name_get_numbers(filled) -> None:
    found = filled.sql(f"SELECT a.Close, b.Close, 1 AS Close_1 FROM {AAPL} a, {AAPL} b LIMIT 1")
    assert found.names == ("Close", "Close_2", "Close_1")


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("Epoch >= '2013-10-08-14:00'", ROWS - 30),
        ("Epoch >= '2013-10-08-14:00:00'", ROWS - 30),
        ("Epoch > '2013-10-08-14:00:00.00000000'", ROWS - 31),
        ("Epoch < '2013-10-09'", ROWS - 370),
        (f"Epoch > {T0}", ROWS - 1),
        (f"Epoch BETWEEN {T0} AND {T0 + 120}", 3),
        (f"Epoch IN ({T0}, {T0 + 60}, '2013-10-08-13:32')", 3),
        ("Epoch > -1", ROWS),
        ("Close > 5 AND Epoch <= '2013-10-08-13:40'", 5),
        ("'é' = 'é' AND Epoch > '2013-10-08-14:00'", ROWS - 31),
        ("Epoch < now() - INTERVAL 1 DAY", ROWS),
        ("Epoch < current_timestamp", ROWS),
    ],
)
def test_times_as_marketstores_users_write_them(rows, condition, count) -> None:
    statement = f"SELECT count(*) FROM `AAPL/1Min/OHLCV` WHERE {condition};"
    assert rows(statement) == [(count,)]


def test_numbers_that_are_no_seconds_are_refused(filled) -> None:
    with pytest.raises(InvalidArgumentError, match="divide nanoseconds by"):
        filled.sql(f"SELECT * FROM {AAPL} WHERE Epoch > {T0 * NS}")


@pytest.mark.parametrize(
    "value",
    ["2013-10-08 14:00", dt.datetime(2013, 10, 8, 14), np.datetime64("2013-10-08T14:00"),
     pd.Timestamp("2013-10-08 10:00", tz="America/New_York")],
)  # fmt: skip
def test_parameters_may_be_times(filled, value) -> None:
    found = filled.sql(f"SELECT count(*) AS n FROM {AAPL} WHERE Epoch >= $since", {"since": value})
    assert found["n"].tolist() == [ROWS - 30]


def test_parameters_are_values_and_no_sql(rows) -> None:
    statement = f"SELECT count(*) FROM {BARS} WHERE Symbol = ? AND Close < ? AND ?"
    assert rows(statement, ["x' OR '1'='1", np.float64(3), True]) == [(0,)]
    assert rows(statement, ["AAPL", np.float64(3), np.bool_(True)]) == [(3,)]
    with pytest.raises(InvalidArgumentError, match="not set"):
        rows("SELECT ?", [{1, 2}])
    with pytest.raises(InvalidArgumentError, match="a list for"):
        rows("SELECT ?", "AAPL")


def test_show_describe_and_explain_are_answered(rows) -> None:
    assert rows("SHOW TABLES;")[0] == ("AAPL/1Min/OHLCV",)
    assert [row[:2] for row in rows('DESCRIBE "AAPL/1Sec/TRADE"')] == [
        ("Epoch", "TIMESTAMP_NS"), ("Price", "DOUBLE"), ("Size", "INTEGER"),
    ]  # fmt: skip
    assert len(rows(f"SUMMARIZE {AAPL}")) == 6
    assert "ARROW" in rows(f"EXPLAIN SELECT * FROM {AAPL}")[0][1]
    assert "Total Time" in rows(f"EXPLAIN ANALYZE SELECT * FROM {AAPL} WHERE Close > 3")[0][1]


def test_results_become_frames(filled) -> None:
    found = filled.sql(f"SELECT Symbol, Epoch, Close FROM {BARS} WHERE Epoch = {T0} ORDER BY 1")
    assert repr(found) == "<SqlResult 3 rows: Symbol, Epoch, Close>"
    frame = found.to_pandas()
    assert frame["Close"].tolist() == [0, 1000, 2000]
    assert frame["Epoch"].iloc[0] == pd.Timestamp(T0, unit="s")
    assert found.to_polars()["Symbol"].to_list() == list(SYMBOLS)
    assert found.to_arrow().column_names == ["Symbol", "Epoch", "Close"]
    assert list(found) == ["Symbol", "Epoch", "Close"]
    with pytest.raises(KeyError, match="no column 'Open'"):
        found["Open"]


def test_a_result_can_be_written_to_a_store(filled, store) -> None:
    found = filled.sql(f"SELECT Epoch, Close * 2 AS Close FROM {AAPL}")
    store.write("DOUBLE/1Min/X", found)
    assert store.read("DOUBLE/1Min/X")["Close"][:3].tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("statement", "kind", "text"),
    [
        ('SELECT * FROM "AAPL/1Min/OHLC"', NotFoundError, "did you mean AAPL/1Min/OHLCV"),
        ('SELECT * FROM "*/1Min/OHLC"', NotFoundError, r"did you mean \*/1Min/OHLCV"),
        ('SELECT * FROM "QQQ*/1Min/OHLCV"', NotFoundError, "no bucket"),
        ('SELECT * FROM "AAPL/7Blah/OHLCV"', InvalidKeyError, "7Blah"),
        ("SELECT * FROM prices", InvalidKeyError, "in double quotes or backticks"),
        ('SELECT Nope FROM "AAPL/1Min/OHLCV"', InvalidArgumentError, '"Nope" not found'),
        ("SELEC 1", InvalidArgumentError, r'near "SELEC"\n\nLINE 1: SELEC 1\n {8}\^'),
        ("SELECT 1\nFROM range(3) x\nWHERE nope", InvalidArgumentError, "LINE 3: WHERE nope"),
        ("", InvalidArgumentError, "empty"),
        ("SELECT 1; SELECT 2", InvalidArgumentError, "2 statements"),
        ("SELECT CAST('x' AS INTEGER)", InvalidArgumentError, "Could not convert string 'x'"),
        (f"SELECT {'(' * 2000}1{')' * 2000}", InvalidArgumentError, "depth|nested"),
        ("SELECT ?", InvalidArgumentError, "[Pp]arameter"),
        (b"SELECT 1", InvalidArgumentError, "not bytes"),
        ("SELECT '\ud800'", InvalidArgumentError, "no Unicode"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(filled, statement, kind, text) -> None:
    with pytest.raises(kind, match=text):
        filled.sql(statement)


def test_a_statement_after_an_error_is_carried_out(filled) -> None:
    with pytest.raises(InvalidArgumentError):
        filled.sql("SELECT error('no')")
    assert filled.sql("SELECT 1 AS one")["one"].tolist() == [1]


def test_what_the_engine_raises_comes_back_as_it_is(filled) -> None:
    class Damaged(Recorder):
        def slices(self, *arguments, **options):
            raise CorruptionError("rows.seg", 17, "checksum")

    database = SqlDatabase(Damaged(filled.engine), "UTC")
    with pytest.raises(CorruptionError, match="damaged at byte 17"):
        database.run(f"SELECT * FROM {AAPL}")
    database.close()


def test_a_bucket_that_is_created_later_is_seen(store) -> None:
    with pytest.raises(NotFoundError):
        store.sql('SELECT * FROM "A/1D/X"')
    store.create("A/1D/X", Schema.of({"V": "f8"}))
    assert len(store.sql('SELECT * FROM "A/1D/X"')) == 0
    store.write("A/1D/X", {"Epoch": [0], "V": [1.0]})
    assert store.sql('SELECT V FROM "A/1D/X"')["V"].tolist() == [1]


def test_statements_run_in_several_threads(filled) -> None:
    found: dict[str, list[int]] = {}

    def count(symbol: str) -> None:
        statement = f"SELECT count(*) AS n FROM \"*/1Min/OHLCV\" WHERE Symbol = '{symbol}'"
        found[symbol] = [filled.sql(statement)["n"][0] for _ in range(20)]

    threads = [threading.Thread(target=count, args=[symbol]) for symbol in SYMBOLS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(SYMBOLS, [ROWS] * 20)


def test_a_follower_answers_too(filled) -> None:
    with tsstore.open(filled.path, read_only=True) as follower:
        assert follower.sql(f"SELECT count(*) AS n FROM {BARS}")["n"].tolist() == [3000]


def test_a_closed_store_says_so(tmp_path) -> None:
    store = tsstore.open(tmp_path)
    store.write("A/1D/X", {"Epoch": [0], "V": [1.0]})
    assert len(store.sql('SELECT * FROM "A/1D/X"')) == 1
    database = store.sql_database()
    store.close()
    with pytest.raises(ClosedError):
        store.sql("SELECT 1")
    with pytest.raises(ClosedError):
        database.run("SELECT 1")


def test_importing_tsstore_imports_no_duckdb() -> None:
    code = (
        "import sys, tsstore\n"
        "assert not {'tsstore.sql', 'tsstore.asof'} & set(sys.modules)\n"
        "import tsstore.client, tsstore.server.http, tsstore.sql\n"
        "assert not {'duckdb', '_duckdb', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("package", ["duckdb", "pyarrow"])
def test_what_is_not_installed_is_said(filled, monkeypatch, package) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    database = SqlDatabase(filled.engine, "UTC")
    with pytest.raises(InvalidArgumentError, match=r"pip install tsstore\[sql\]"):
        database.run("SELECT 1")


def test_many_rows_come_in_pieces(tmp_path) -> None:
    count = 400_000
    with tsstore.open(tmp_path) as store:
        ts = (np.arange(count) * 1_000_003).astype("M8[ns]")
        rows = {"Epoch": ts, "V": np.arange(count)}
        store.bulk([tsstore.Write("A/1Sec/X", rows, variable=True)])
        found = store.sql('SELECT Epoch, V FROM "A/1Sec/X"')
        assert (found["V"] == np.arange(count)).all()
        assert (found["Epoch"] == ts).all()
        assert store.sql('SELECT sum(V) AS s FROM "*/1Sec/X" WHERE V >= 399998')["s"] == [799_997]


def test_many_short_buckets_are_one_table(store) -> None:
    batches = {f"S{index:03}/1D/X": {"Epoch": [0], "V": [index]} for index in range(300)}
    store.write_many(batches)
    assert store.sql('SELECT Symbol, V FROM "1D/X"').rows() == [
        (f"S{index:03}", index) for index in range(300)
    ]


def test_limits_end_statements(filled) -> None:
    limits = SqlLimits(
        memory_bytes=64 << 20, threads=1, time_s=0.3, rows_max=10, statement_bytes_max=500
    )
    database = SqlDatabase(filled.engine, "UTC", limits)
    with pytest.raises(LimitExceededError, match="more than 10 rows"):
        database.run(f"SELECT * FROM {AAPL}")
    with pytest.raises(LimitExceededError, match="more than 100 bytes"):
        database.run("SELECT repeat('x', 1000)", bytes_max=100)
    for time_s, told in ((None, r"0\.3"), (0.1, r"0\.1"), (60, r"0\.3")):
        with pytest.raises(LimitExceededError, match=f"longer than {told} s"):
            database.run(ENDLESS, time_s=time_s)
    with pytest.raises(LimitExceededError, match="at most 500"):
        database.run("SELECT '" + "x" * 500 + "'")
    for time_s in (0, -1, float("nan"), "5"):
        with pytest.raises(InvalidArgumentError, match="no time"):
            database.run("SELECT 1", time_s=time_s)
    assert database.run("SELECT 1 AS one")["one"].tolist() == [1]
    database.close()


def test_a_statement_may_have_all_the_time_there_is(filled) -> None:
    assert filled.sql("SELECT 1 AS one", timeout_s=float("inf"))["one"].tolist() == [1]


def test_memory_is_limited(filled) -> None:
    database = SqlDatabase(filled.engine, "UTC", SqlLimits(memory_bytes=64 << 20, threads=1))
    with pytest.raises(LimitExceededError, match="more memory than the limit of 67108864"):
        database.run("SELECT list(range || 'xxxxxxxxxxxxxxxxxxxxxxxxx') FROM range(5000000)")
    assert database.run("SELECT 1 AS one")["one"].tolist() == [1]
    database.close()


@pytest.fixture
def busy(filled):
    """A database, a statement that never ends, and what is set when it has begun."""
    begun = threading.Event()

    class Told(Recorder):
        def slices(self, *arguments, **options):
            begun.set()
            return super().slices(*arguments, **options)

    database = SqlDatabase(Told(filled.engine), "UTC")
    yield database, f"SELECT max(sqrt(x.Close * r.range)) FROM {AAPL} x, range(1000000000) r", begun
    database.close()


def test_ctrl_c_ends_a_statement(busy) -> None:
    database, statement, begun = busy

    def interrupt() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        database.run(statement)
    assert database.run("SELECT 1 AS one")["one"].tolist() == [1]


def test_closing_ends_statements(busy) -> None:
    database, statement, begun = busy
    raised = []

    def run() -> None:
        with pytest.raises(ClosedError, match="closed while the statement ran") as told:
            database.run(statement)
        raised.append(told.value)

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    database.close()
    thread.join()
    assert len(raised) == 1


class Stuck(Recorder):
    """An engine whose rows keep DuckDB where it does not look whether it should end."""

    def __init__(self, engine) -> None:
        super().__init__(engine)
        self.is_held = threading.Event()
        self.let_go = threading.Event()
        self.gave_up = False

    def slices(self, *arguments, **options):
        self.hold()
        yield from super().slices(*arguments, **options)

    def hold(self) -> None:
        self.is_held.set()
        self.gave_up = not self.let_go.wait(30)


@pytest.fixture
def stuck(filled):
    engine = Stuck(filled.engine)
    yield engine
    engine.let_go.set()


def await_none_at_work(database) -> None:
    while True:
        with suppress(BusyError):
            assert database.run("SELECT 1 AS one")["one"].tolist() == [1]
            return
        sleep(0.01)


def test_a_statement_that_does_not_end_is_left_behind_and_counts(stuck) -> None:
    database = SqlDatabase(stuck, "UTC", SqlLimits(time_s=0.2, calls=2))
    for _ in range(2):
        with pytest.raises(LimitExceededError, match=r"longer than 0\.2 s"):
            database.run(f"SELECT sum(Close) FROM {AAPL}")
    with pytest.raises(BusyError, match=r"as many statements are at work as may be \(2\)"):
        database.run("SELECT 1")
    stuck.let_go.set()
    await_none_at_work(database)
    assert not stuck.gave_up
    database.close()


def test_a_statement_left_behind_begins_nothing_new(filled) -> None:
    class StuckBefore(Stuck):
        def schema(self, key):
            self.hold()
            return super().schema(key)

    engine = StuckBefore(filled.engine)
    database = SqlDatabase(engine, "UTC", SqlLimits(time_s=0.2, calls=1))
    with pytest.raises(LimitExceededError):
        database.run(f"SELECT sum(Close) FROM {AAPL}")
    engine.let_go.set()
    await_none_at_work(database)
    assert not engine.gave_up
    assert engine.reads == []
    database.close()


def test_closing_does_not_wait_for_a_statement_that_does_not_end(stuck) -> None:
    database = SqlDatabase(stuck, "UTC")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(database.run, f"SELECT sum(Close) FROM {AAPL}")
        assert stuck.is_held.wait(30)
        database.close()
        with pytest.raises(ClosedError, match="closed while the statement ran"):
            running.result()
        assert not stuck.gave_up


def test_a_statement_left_behind_does_no_harm_to_a_closed_store(tmp_path) -> None:
    over = []

    class Over(Stuck):
        def slices(self, *arguments, **options):
            try:
                yield from super().slices(*arguments, **options)
            except BaseException as error:
                over.append(error)
                raise

    with tsstore.open(tmp_path) as store:
        store.write("A/1Min/X", {"Epoch": [0], "V": [1.0]})
        stuck = Over(store.engine)
        database = SqlDatabase(stuck, "UTC", SqlLimits(time_s=0.2))
        with pytest.raises(LimitExceededError):
            database.run('SELECT sum("V") FROM "A/1Min/X"')
        database.close()
    stuck.let_go.set()
    while not over:
        sleep(0.01)
    assert isinstance(over[0], ClosedError)


def test_a_scan_ends_when_its_time_is_over(filled) -> None:
    class Slow(Recorder):
        def slices(self, *arguments, **options):
            for _ in range(1_000_000):
                yield from super().slices(*arguments, **options)

    database = SqlDatabase(Slow(filled.engine), "UTC", SqlLimits(time_s=0.3))
    with pytest.raises(LimitExceededError, match="longer than"):
        database.run(f"SELECT sum(Close) FROM {AAPL}")
    database.close()


def test_a_bucket_that_is_destroyed_meanwhile(tmp_path) -> None:
    """Of a pattern it is left out, as `read` leaves it out; a name that was given is missed."""

    class Destroying(Recorder):
        def slices(self, key, *arguments, **options):
            for other in store.list("B/*/*"):
                store.destroy(other)
            return super().slices(key, *arguments, **options)

    with tsstore.open(tmp_path) as store:
        database = SqlDatabase(Destroying(store.engine), "UTC")
        for statement in ('SELECT "V" FROM "*/1Min/X"', 'SELECT "V" FROM "B/1Min/X"'):
            for symbol in "AB":
                store.write(f"{symbol}/1Min/X", {"Epoch": [0], "V": [symbol == "A"]})
            if "*" in statement:
                assert database.run(statement)["V"].tolist() == [True]
            else:
                with pytest.raises(NotFoundError, match="B/1Min/X"):
                    database.run(statement)
        database.close()


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("SELECT * FROM AAPL/1Min/OHLCV", "AAPL/1Min/OHLCV"),
        ("SELECT * FROM BRK.A/1D/OHLCV WHERE Close > 1", "BRK.A/1D/OHLCV"),
        ('SELECT * FROM "A/1Min/OHLCV" JOIN B/1Min/OHLCV USING (Epoch)', "B/1Min/OHLCV"),
        ("SELECT max(High)\nFROM */1Min/OHLCV", "*/1Min/OHLCV"),
        ("SELECT * FROM 1Min/OHLCV", "1Min/OHLCV"),
    ],
)
def test_a_bucket_without_quotation_marks_is_told_of_them(filled, statement, name) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        filled.sql(statement)
    assert str(caught.value).endswith(f'Bucket names stand in double quotes: FROM "{name}"')


def test_another_mistake_is_told_as_it_is(filled) -> None:
    for statement in ("SELEC 1", "SELECT 1 FROM AAPL/", "SELECT nosuch(1)"):
        with pytest.raises(InvalidArgumentError) as caught:
            filled.sql(statement)
        assert "double quotes" not in str(caught.value)
        assert "functions=" not in str(caught.value)


@pytest.mark.parametrize("function", ["candlecandler", "VWAP", "adjust"])
def test_a_function_of_queries_is_told_where_it_belongs(filled, function) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        filled.sql(f"SELECT {function}('5Min', Close) FROM \"1Min/OHLCV\"")
    name = function.lower()
    assert f'use store.read(key, functions=["{name}(...)"])' in str(caught.value)
    assert f"`tsstore query KEY --function '{name}(...)'`" in caught.value.shell_text
