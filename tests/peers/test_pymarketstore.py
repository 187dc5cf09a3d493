"""pymarketstore 0.22, unchanged, against our server."""

from __future__ import annotations

import pytest

import tsstore

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]


@pytest.fixture
def bars(peer):
    peer.run(
        """
        start = pd.Timestamp("2013-10-08 13:30").value // 10**9
        rows = np.array(
            [(start + 60 * i, 100.0 + i) for i in range(5)],
            dtype=[("Epoch", "i8"), ("Open", "f4")],
        )
        out = c.write(rows, "AAPL/1Min/OHLCV")
        c.write(rows, "MSFT/1Min/OHLCV")
        """
    )
    return peer


def test_a_write_is_acknowledged_without_responses(peer):
    written = peer.run(
        """
        rows = np.array([(1381239000, 10.0)], dtype=[("Epoch", "i8"), ("Ask", "f4")])
        out = c.write(rows, "TEST/1Min/Tick")
        """
    )
    assert written == {"responses": None}


def test_rows_come_back_as_a_frame(bars):
    found = bars.run(
        """
        df = c.query(pymkt.Params("AAPL", "1Min", "OHLCV")).first().df()
        out = [str(df.index.tz), str(df.index[0]), df["Open"].tolist(), str(df["Open"].dtype)]
        """
    )
    assert found == [
        "America/New_York",
        "2013-10-08 09:30:00-04:00",
        [100, 101, 102, 103, 104],
        "float32",
    ]


def test_ranges_limits_and_columns_are_understood(bars):
    found = bars.run(
        """
        def opens(**options):
            params = pymkt.Params("AAPL", "1Min", "OHLCV", **options)
            return c.query(params).first().df()["Open"].tolist()
        out = [
            opens(start="2013-10-08 13:31", end="2013-10-08 13:32"),
            opens(limit=2),
            opens(limit=2, limit_from_start=True),
            opens(end="2013-10-08 13:33", limit=1),
        ]
        """
    )
    assert found == [[101, 102], [103, 104], [100, 101], [103]]


def test_several_symbols_come_apart(bars):
    found = bars.run(
        """
        reply = c.query(pymkt.Params(["MSFT", "AAPL", "NOPE"], "1Min", "OHLCV", limit=1))
        out = {key: data.df()["Open"].tolist() for key, data in reply.all().items()}
        """
    )
    assert found == {"AAPL/1Min/OHLCV": [104], "MSFT/1Min/OHLCV": [104]}


def test_several_queries_are_answered_in_order(bars):
    found = bars.run(
        """
        params = [pymkt.Params(symbol, "1Min", "OHLCV") for symbol in ("MSFT", "AAPL")]
        out = list(c.query(params).keys())
        """
    )
    assert found == ["MSFT/1Min/OHLCV", "AAPL/1Min/OHLCV"]


def test_ticks_keep_their_nanoseconds(peer):
    found = peer.run(
        """
        rows = np.array(
            [(1381239000, 10.0, 123456789), (1381239000, 11.0, 123456790)],
            dtype=[("Epoch", "i8"), ("Price", "f8"), ("Nanoseconds", "i4")],
        )
        c.write(rows, "AAPL/1Sec/TRADE", isvariablelength=True)
        start = pd.Timestamp(1381239000123456790)
        params = pymkt.Params("AAPL", "1Sec", "TRADE")
        later = pymkt.Params("AAPL", "1Sec", "TRADE", start=start, end=start)
        out = [
            c.query(params).first().df()["Nanoseconds"].tolist(),
            c.query(later).first().df()["Price"].tolist(),
        ]
        """
    )
    assert found == [[123456789, 123456790], [11.0]]


def test_buckets_are_created_listed_and_destroyed(peer):
    found = peer.run(
        """
        TBK = pymkt.params.ListSymbolsFormat.TBK
        kinds = "i1 i2 i4 i8 u1 u2 u4 u8 f4 f8 U16".split()
        dtype = [("Epoch", "i8")] + [("c" + kind, kind) for kind in kinds]
        out = [c.create("CR8/1Min/OHLCV", dtype), c.list_symbols(TBK), c.list_symbols()]
        out.append(c.query(pymkt.Params("CR8", "1Min", "OHLCV")).first().df().shape)
        out.append(c.destroy("CR8/1Min/OHLCV"))
        out.append(c.list_symbols(TBK))
        """
    )
    done = {"responses": [{"error": "", "version": tsstore.__version__}]}
    assert found == [done, ["CR8/1Min/OHLCV"], ["CR8"], [0, 11], done, []]


def test_a_variable_bucket_is_created_over_http(peer):
    found = peer.run(
        """
        c.create("A/1Sec/T", [("Epoch", "i8"), ("Price", "f4")], isvariablelength=True)
        rows = np.array([(1381239000, 1.0)] * 2, dtype=[("Epoch", "i8"), ("Price", "f4")])
        c.write(rows, "A/1Sec/T")
        out = len(c.query(pymkt.Params("A", "1Sec", "T")).first().df())
        """
    )
    assert found == 2


def test_an_unknown_bucket_is_the_error_that_clients_look_for(peer):
    reply = peer.attempt("c.query(pymkt.Params('NOPE', '1Min', 'Tick'))")
    assert "no files returned from query parse" in reply["error"]
    assert "no results returned from query" in reply["error"]


def test_other_columns_are_reported_in_the_reply(bars):
    written = bars.run(
        """
        rows = np.array([(1381239000, 10.0)], dtype=[("Epoch", "i8"), ("Ask", "f4")])
        out = c.write(rows, "AAPL/1Min/OHLCV")
        """
    )
    assert "unable to match data columns (" in written["responses"][0]["error"]


def test_functions_and_computed_timeframes_are_understood(peer):
    found = peer.run(
        """
        names = "Open High Low Close Volume".split()
        rows = np.array(
            [(1381239000 + 60 * i, *[float(i)] * 5) for i in range(10)],
            dtype=[("Epoch", "i8")] + [(name, "f4") for name in names],
        )
        c.write(rows, "AAPL/1Min/OHLCV")
        df = c.query(pymkt.Params("AAPL", "5Min", "OHLCV")).first().df()
        candle = "candlecandler('5Min',Open,High,Low,Close,Sum::Volume)"
        candles = c.query(pymkt.Params("AAPL", "1Min", "OHLCV", functions=[candle])).first().df()
        out = [df["Close"].tolist(), df["Volume"].tolist(), candles["Volume_SUM"].tolist()]
        """
    )
    assert found == [[4, 9], [10, 35], [10, 35]]


def test_the_version_is_told(peer):
    assert peer.run("out = c.server_version()") == tsstore.__version__


def test_what_it_writes_our_client_reads_and_the_other_way_round(bars, url):
    with tsstore.connect(url) as store:
        rows = store.read("AAPL/1Min/OHLCV")
        assert rows["Open"].tolist() == [100, 101, 102, 103, 104]
        store.write("IBM/1Min/OHLCV", {"Epoch": ["2013-10-08 13:30"], "Open": [186.5]})
    found = bars.run(
        "out = c.query(pymkt.Params('IBM', '1Min', 'OHLCV')).first().df()['Open'].tolist()"
    )
    assert found == [186.5]


def test_committed_rows_are_streamed(peer):
    found = peer.run(
        """
        import threading, time

        out = []
        stream = c.client.stream()
        subscribed = threading.Event()

        class Enough(Exception):
            pass

        @stream.on("^A/1Min/")
        def received(connection, message):
            subscribed.set()
            if message["data"]["P"] >= 0:
                out.append([message["key"], message["data"]["P"]])
            if len(out) == 3:
                raise Enough

        def write(*values):
            rows = np.array(
                [(1381239000 + 60 * i, value) for i, value in enumerate(values)],
                dtype=[("Epoch", "i8"), ("P", "f4")],
            )
            c.write(rows, "A/1Min/X")

        def feed():
            deadline = time.monotonic() + 60
            while not subscribed.is_set() and time.monotonic() < deadline:
                write(-1)
                subscribed.wait(0.02)
            write(1, 2, 3)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            stream.run(["A/1Min/X"])
        except Enough:
            pass
        feeder.join()
        """
    )
    assert found == [["A/1Min/X", 1], ["A/1Min/X", 2], ["A/1Min/X", 3]]


def test_sql_answers_a_frame(bars):
    found = bars.run(
        """
        statement = "SELECT Epoch, Open FROM `AAPL/1Min/OHLCV` WHERE Epoch >= '2013-10-08-13:32';"
        reply = c.sql(statement)
        df = reply.first().df()
        out = [reply.keys()[0], str(df.index[0]), df["Open"].tolist(), str(df["Open"].dtype)]
        """
    )
    # The client takes what stands before the first colon for the key.
    assert found == [
        "SELECT Epoch, Open FROM `AAPL/1Min/OHLCV` WHERE Epoch >= '2013-10-08-13",
        "2013-10-08 09:32:00-04:00",
        [102, 103, 104],
        "float32",
    ]


def test_sql_groups_and_fails_in_words(bars):
    found = bars.run(
        """
        statement = "SELECT Symbol, max(Open) AS top FROM `*/1Min/OHLCV` GROUP BY Symbol ORDER BY 1"
        out = c.sql(statement).first().array.tolist()
        """
    )
    assert found == [["AAPL", 104.0], ["MSFT", 104.0]]
    reply = bars.attempt("c.sql('SELECT * FROM `NOPE/1Min/OHLCV`;')")
    assert "there is no bucket for the table 'NOPE/1Min/OHLCV'" in reply["error"]
