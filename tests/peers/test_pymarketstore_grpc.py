"""pymarketstore 0.22 over gRPC: every public method, beside what the same call gives over HTTP."""

from __future__ import annotations

import textwrap

import pytest

import tsstore

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]

#: What snippets may use: the shape of answers, which HTTP gives as maps and gRPC as messages.
SHARED = """
from pymarketstore.params import ListSymbolsFormat
TBK, SYMBOL = ListSymbolsFormat.TBK, ListSymbolsFormat.SYMBOL

def failures(reply):
    responses = reply["responses"] or [] if isinstance(reply, dict) else reply.responses
    return [r["error"] if isinstance(reply, dict) else r.error for r in responses]

def shown(data):
    df = data.df()
    kinds = [str(kind) for kind in df.dtypes]
    rows = [[value.item() if hasattr(value, "item") else value for value in row]
            for row in df.itertuples(index=False)]
    return [data.key, data.timezone, str(df.index.tz), [str(t) for t in df.index],
            list(df.columns), kinds, rows]

def queried(client, *params, **options):
    reply = client.query(pymkt.Params(*params, **options))
    return sorted(shown(data) for data in reply.all().values())

def text_of(call):
    try:
        call()
    except Exception as error:
        # Over HTTP it adds the empty `data` of the error.
        return error.details() if hasattr(error, "details") else str(error).removesuffix(": None")
"""
BARS = """
start = pd.Timestamp("2013-10-08 13:30").value // 10**9
names = "Open High Low Close".split()
dtype = [("Epoch", "i8")] + [(name, "f4") for name in names] + [("Volume", "u8")]
bars = np.array([(start + 60 * i, *[100.5 + i] * 4, i) for i in range(10)], dtype=dtype)
for symbol in ("AAPL", "MSFT"):
    c.write(bars, symbol + "/1Min/OHLCV")
ticks = np.array([(start, 10.25, 3, 5), (start, 11.5, 4, 6), (start + 1, 12.0, 5, 7)],
    dtype=[("Epoch", "i8"), ("Price", "f8"), ("Size", "i4"), ("Nanoseconds", "i4")])
c.write(ticks, "AAPL/1Sec/TRADE", isvariablelength=True)
"""


@pytest.fixture(scope="module", autouse=True)
def helpers(peer):
    peer.run(SHARED)


@pytest.fixture(autouse=True)
def bars(peer, empty):
    peer.run(BARS)


@pytest.fixture
def both(peer):
    """Run a snippet with `client` speaking HTTP and gRPC; what it gives has to be equal."""

    def both(snippet):
        body = textwrap.dedent(snippet)
        over_http = peer.run(f"client = c\n{body}")
        over_grpc = peer.run(f"client = g\n{body}")
        assert over_grpc == over_http
        return over_grpc

    return both


@pytest.mark.parametrize(
    "arguments",
    [
        "'AAPL', '1Min', 'OHLCV'",
        "['AAPL', 'MSFT', 'NOPE'], '1Min', 'OHLCV'",
        "'*', '1Min', 'OHLCV'",
        "'AAPL', '1Min', 'OHLCV', limit=3",
        "'AAPL', '1Min', 'OHLCV', limit=3, limit_from_start=True",
        "'AAPL', '1Min', 'OHLCV', start='2013-10-08 13:32', end='2013-10-08 13:34:30'",
        "'AAPL', '1Min', 'OHLCV', start=start + 60, end=start + 120",
        "'AAPL', '1Min', 'OHLCV', end='2013-10-08 13:33', limit=1",
        "'AAPL', '1Min', 'OHLCV', start='2014-01-01'",
        "'AAPL', '1Min', 'OHLCV', columns=['Close', 'Open']",
        "'AAPL', '5Min', 'OHLCV'",
        "'AAPL', '1D', 'OHLCV'",
        "'AAPL', '1Min', 'OHLCV', functions=[\"candlecandler('5Min',Open,High,Low,Close)\"]",
        "'AAPL', '1Sec', 'TRADE'",
        "'AAPL', '1Sec', 'TRADE', start=pd.Timestamp(start * 10**9 + 6)",
    ],
)
def test_queries_give_the_same_frames(both, arguments):
    assert both(f"out = queried(client, {arguments})")


def test_frames_hold_what_was_written(peer):
    ((key, timezone, zone, index, names, kinds, rows),) = peer.run(
        "out = queried(g, 'AAPL', '1Min', 'OHLCV', limit=1)"
    )
    assert (key, timezone, zone) == ("AAPL/1Min/OHLCV", *["America/New_York"] * 2)
    assert index == ["2013-10-08 09:39:00-04:00"]
    assert names == ["Open", "High", "Low", "Close", "Volume"]
    assert kinds == ["float32"] * 4 + ["uint64"]
    assert rows == [[109.5] * 4 + [9]]


def test_ticks_keep_their_nanoseconds_and_their_order(peer):
    ((*_, names, kinds, rows),) = peer.run("out = queried(g, 'AAPL', '1Sec', 'TRADE')")
    assert (names, kinds) == (["Price", "Size", "Nanoseconds"], ["float64", "int32", "int32"])
    assert rows == [[10.25, 3, 5], [11.5, 4, 6], [12, 5, 7]]


def test_several_queries_are_answered_in_order(both):
    keys = both(
        """
        params = [pymkt.Params(symbol, "1Min", "OHLCV") for symbol in ("MSFT", "AAPL")]
        out = list(client.query(params).keys())
        """
    )
    assert keys == ["MSFT/1Min/OHLCV", "AAPL/1Min/OHLCV"]


def test_written_types_come_back(both):
    found = both(
        """
        kinds = "i1 i2 i4 i8 u1 u2 u4 u8 f4 f8 U16".split()
        rows = np.array([(start, *[1] * 10, "text")], [("Epoch", "i8")] + [(k, k) for k in kinds])
        out = [failures(client.write(rows, "T/1Min/X")), queried(client, "T", "1Min", "X")]
        client.destroy("T/1Min/X")
        """
    )
    assert found[0] == []
    assert found[1][0][-1] == [[*[1] * 10, "text"]]


def test_a_write_that_does_not_fit_is_told_in_the_reply(both):
    (failure,) = both(
        """
        rows = np.array([(start, 10.0)], dtype=[("Epoch", "i8"), ("Ask", "f4")])
        out = failures(client.write(rows, "AAPL/1Min/OHLCV"))
        """
    )
    assert "unable to match data columns (" in failure


@pytest.mark.parametrize("variable", [False, True])
def test_buckets_are_created_written_and_destroyed(both, variable):
    created, listed, rows, destroyed, left = both(
        f"""
        dtype = [("Epoch", "i8"), ("Price", "f4")]
        out = [failures(client.create("CR8/1Min/X", dtype, isvariablelength={variable}))]
        out.append("CR8/1Min/X" in client.list_symbols(TBK))
        client.write(np.array([(start, 1.0)] * 2, dtype=dtype), "CR8/1Min/X")
        out.append(len(client.query(pymkt.Params("CR8", "1Min", "X")).first().df()))
        out.append(failures(client.destroy("CR8/1Min/X")))
        out.append("CR8/1Min/X" in client.list_symbols(TBK))
        """
    )
    assert (created, listed, destroyed, left) == ([""], True, [""], False)
    assert rows == (2 if variable else 1)


def test_what_cannot_be_created_or_destroyed_is_told_in_the_reply(both):
    (created,), (destroyed,) = both(
        """
        dtype = [("Epoch", "i8"), ("Price", "f4")]
        out = [failures(client.create("AAPL/1Min/OHLCV", dtype))]
        out.append(failures(client.destroy("NOPE/1Min/X")))
        """
    )
    assert "Can not overwrite file" in created
    assert "removal of catalog entry failed: Unable to find level item: NOPE" in destroyed


def test_statements_give_the_same_rows(both):
    found = both(
        """
        statement = "SELECT Symbol, max(Close) AS top FROM `*/1Min/OHLCV` GROUP BY ALL ORDER BY ALL"
        out = client.sql(statement).first().array.tolist()
        """
    )
    assert found == [["AAPL", 109.5], ["MSFT", 109.5]]


def test_statements_that_are_wrong_fail_with_the_same_text(both):
    assert both("out = text_of(lambda: client.sql('SELEKT * FROM nothing'))")


def test_lists_are_the_same(both):
    found = both("out = [list(client.list_symbols(fmt)) for fmt in (TBK, SYMBOL)]")
    assert found == [["AAPL/1Min/OHLCV", "AAPL/1Sec/TRADE", "MSFT/1Min/OHLCV"], ["AAPL", "MSFT"]]


def test_the_version_is_told(both):
    assert both("out = client.server_version()") == tsstore.__version__


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("'NOPE', '1Min', 'OHLCV'", "no files returned from query parse"),
        ("'AAPL', '1X', 'OHLCV'", 'timeframe not found in "1X"'),
        ("'AAPL', '1Min', 'OHLCV', functions=['nope(Open)']", "nope"),
        ("['AAPL', '../x'], '1Min', 'OHLCV'", "../x"),
    ],
)
def test_errors_have_the_same_text(both, arguments, text):
    assert text in both(f"out = text_of(lambda: client.query(pymkt.Params({arguments})))")
