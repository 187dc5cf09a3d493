"""Every public name of pymarketstore 0.22, over HTTP and gRPC.

`SHOWN` says which test shows which name; a name of the package that is missing there fails, and so
does a test that is missing here.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

import tsstore

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]

TIMEZONE = "America/New_York"
#: Names of classes and their methods, to the tests that show them (here or beside this file).
SHOWN = {
    "Client": "test_clients_are_made_of_urls_and_targets",
    "Client.create": "test_buckets_are_created_written_and_destroyed",
    "Client.destroy": "test_buckets_are_created_written_and_destroyed",
    "Client.list_symbols": "test_lists_are_the_same",
    "Client.query": "test_queries_give_the_same_frames",
    "Client.server_version": "test_the_version_is_told",
    "Client.sql": "test_several_statements_are_several_results",
    "Client.write": "test_written_types_come_back",
    "DataSet.attribute_group": "test_replies_tell_what_they_hold",
    "DataSet.df": "test_frames_are_in_the_zone_of_the_server",
    "DataSet.symbol": "test_replies_tell_what_they_hold",
    "DataSet.timeframe": "test_replies_tell_what_they_hold",
    "GRPCClient": "test_the_clients_below_do_the_same",
    "GRPCClient.build_query": "test_a_query_is_built_and_sent",
    "GRPCClient.create": "test_the_clients_below_do_the_same",
    "GRPCClient.destroy": "test_the_clients_below_do_the_same",
    "GRPCClient.list_symbols": "test_the_clients_below_do_the_same",
    "GRPCClient.query": "test_the_clients_below_do_the_same",
    "GRPCClient.server_version": "test_the_clients_below_do_the_same",
    "GRPCClient.sql": "test_the_clients_below_do_the_same",
    "GRPCClient.write": "test_the_clients_below_do_the_same",
    "JsonRpcClient": "test_the_clients_below_do_the_same",
    "JsonRpcClient.build_query": "test_a_query_is_built_and_sent",
    "JsonRpcClient.create": "test_the_clients_below_do_the_same",
    "JsonRpcClient.destroy": "test_the_clients_below_do_the_same",
    "JsonRpcClient.list_symbols": "test_the_clients_below_do_the_same",
    "JsonRpcClient.query": "test_the_clients_below_do_the_same",
    "JsonRpcClient.server_version": "test_the_clients_below_do_the_same",
    "JsonRpcClient.sql": "test_the_clients_below_do_the_same",
    "JsonRpcClient.stream": "test_handlers_come_and_go",
    "JsonRpcClient.write": "test_the_clients_below_do_the_same",
    "ListSymbolsFormat": "test_lists_are_the_same",
    "MsgpackRpcClient": "test_methods_may_be_called_by_their_names",
    "MsgpackRpcClient.call": "test_methods_may_be_called_by_their_names",
    "Params": "test_queries_give_the_same_frames",
    "Params.set": "test_parameters_are_set_one_by_one",
    "QueryReply": "test_replies_tell_what_they_hold",
    "QueryReply.all": "test_replies_tell_what_they_hold",
    "QueryReply.by_symbols": "test_replies_tell_what_they_hold",
    "QueryReply.first": "test_replies_tell_what_they_hold",
    "QueryReply.from_grpc_response": "test_replies_tell_what_they_hold",
    "QueryReply.from_response": "test_replies_tell_what_they_hold",
    "QueryReply.get_catkeys": "test_replies_tell_what_they_hold",
    "QueryReply.keys": "test_replies_tell_what_they_hold",
    "QueryReply.symbols": "test_replies_tell_what_they_hold",
    "QueryReply.timeframes": "test_replies_tell_what_they_hold",
    "QueryResult": "test_replies_tell_what_they_hold",
    "QueryResult.all": "test_replies_tell_what_they_hold",
    "QueryResult.first": "test_replies_tell_what_they_hold",
    "QueryResult.keys": "test_replies_tell_what_they_hold",
    "DataSet": "test_replies_tell_what_they_hold",
    "StreamConn": "test_handlers_come_and_go",
    "StreamConn.deregister": "test_handlers_come_and_go",
    "StreamConn.on": "test_handlers_come_and_go",
    "StreamConn.register": "test_handlers_come_and_go",
    "StreamConn.run": "test_handlers_come_and_go",
}
HELPERS = """
start = pd.Timestamp("2024-07-01 14:30").value // 10**9
bar_type = [("Epoch", "i8")] + [(name, "f4") for name in "Open High Low Close Volume".split()]
bars = np.array([(start + 60 * i, *[100.5 + i] * 4, i) for i in range(10)], dtype=bar_type)

def text_of(call):
    try:
        call()
    except Exception as error:
        return error.details() if hasattr(error, "details") else str(error).removesuffix(": None")
"""


@pytest.fixture(scope="module", autouse=True)
def helpers(peer):
    peer.run(HELPERS)


@pytest.fixture(autouse=True)
def bars(peer, empty):
    peer.run(
        """
        for symbol in ("AAPL", "MSFT"):
            c.write(bars, symbol + "/1Min/OHLCV")
        """
    )


@pytest.fixture
def both(peer):
    """Run a snippet with `client` speaking HTTP and gRPC; what it gives has to be equal."""

    def both(snippet):
        body = textwrap.dedent(snippet)
        over_http = peer.run(f"client = c\n{body}")
        assert peer.run(f"client = g\n{body}") == over_http
        return over_http

    return both


def test_every_public_name_is_shown(peer):
    names = peer.run(
        """
        import inspect
        names = "client grpc_client jsonrpc jsonrpc_client params results stream".split()
        out = []
        for module in [getattr(pymkt, name) for name in names]:
            for kind in vars(module).values():
                if inspect.isclass(kind) and kind.__module__ == module.__name__:
                    out.append(kind.__name__)
                    out += [kind.__name__ + "." + name for name, value in vars(kind).items()
                        if name[0] != "_" and (callable(value) or hasattr(value, "__get__"))]
        """
    )
    assert set(names) == set(SHOWN)
    beside = "".join(path.read_text() for path in Path(__file__).parent.glob("test_pymark*.py"))
    assert set(SHOWN.values()) <= set(re.findall(r"^def (test_\w+)", beside, re.MULTILINE))


def test_clients_are_made_of_urls_and_targets(peer):
    shown = peer.run(
        """
        made = [pymkt.Client("http://h:1/rpc"), pymkt.Client("http://h:1/rpc", grpc=True),
                pymkt.Client("h:7", grpc=True), pymkt.Client()]
        out = [repr(one) for one in made] + [pymkt.Param is pymkt.Params]
        """
    )
    assert shown == [
        'MsgPackRPCClient("http://h:1/rpc")',
        'GRPCClient("h:5995")',
        'GRPCClient("h:7")',
        'MsgPackRPCClient("http://localhost:5993/rpc")',
        True,
    ]


def test_frames_are_in_the_zone_of_the_server(both):
    zone, index, days = both(
        """
        df = client.query(pymkt.Params("AAPL", "1Min", "OHLCV", limit=1)).first().df()
        days = client.query(pymkt.Params("AAPL", "1D", "OHLCV")).first()
        out = [str(df.index.tz), str(df.index[0]), str(days.df().index[0])]
        """
    )
    assert zone == TIMEZONE
    assert index == "2024-07-01 10:39:00-04:00"
    assert days == "2024-07-01 00:00:00-04:00"


@pytest.mark.parametrize(
    "symbols", ["['AAPL', 'MSFT']", "('AAPL', 'MSFT')", "{'AAPL', 'MSFT'}", "'AAPL,MSFT'", "'*'"]
)
def test_symbols_may_be_any_collection(both, symbols):
    snippet = f"out = sorted(client.query(pymkt.Params({symbols}, '1Min', 'OHLCV')).keys())"
    assert both(snippet) == ["AAPL/1Min/OHLCV", "MSFT/1Min/OHLCV"]


@pytest.mark.parametrize(
    "time",
    ["start + 120", "np.int64(start + 120)", "'2024-07-01 14:32'", "'2024-07-01T10:32:00-04:00'",
     "pd.Timestamp('2024-07-01 14:32')"],
)  # fmt: skip
def test_times_may_be_numbers_texts_and_timestamps(both, time):
    snippet = (
        f"params = pymkt.Params('AAPL', '1Min', 'OHLCV', start={time}, end={time})\n"
        "out = client.query(params).first().df()['Volume'].tolist()"
    )
    assert both(snippet) == [2]


def test_parameters_are_set_one_by_one(both):
    found = both(
        """
        params = pymkt.Params("AAPL", "1Min", "OHLCV")
        params.set("start", "2024-07-01 14:31").set("end", start + 300).set("limit", 3)
        params.set("limit_from_start", True).set("columns", ["Volume"])
        df = client.query(params).first().df()
        other = pymkt.Params("OHLCV", "AAPL", "1Min")
        other.set("key_category", "AttributeGroup/Symbol/Timeframe")
        other.set("functions", ["max(Volume)"])
        out = [list(df.columns), df["Volume"].tolist(), client.query(other).first().df().iloc[0, 0]]
        out[2] = out[2].item()
        """
    )
    assert found == [["Volume"], [1, 2, 3], 9]


def test_replies_tell_what_they_hold(both):
    found = both(
        """
        params = pymkt.Params("AAPL", "5Min", "OHLCV", limit=1)
        reply = client.query([pymkt.Params("MSFT", "1Min", "OHLCV"), params])
        first, second = reply.results
        data = second.first()
        out = [reply.keys(), sorted(reply.symbols()), sorted(reply.timeframes()),
               reply.get_catkeys(2), sorted(reply.by_symbols()), reply.timezone, first.keys(),
               list(first.all()), reply.first().key, list(reply.all()),
               [data.symbol, data.timeframe, data.attribute_group, data.timezone], repr(reply)]
        """
    )
    keys = ["MSFT/1Min/OHLCV", "AAPL/5Min/OHLCV"]
    assert found[:-1] == [
        keys, ["AAPL", "MSFT"], ["1Min", "5Min"], ["OHLCV"], ["AAPL", "MSFT"], TIMEZONE,
        keys[:1], keys[:1], keys[0], keys, ["AAPL", "5Min", "OHLCV", TIMEZONE],
    ]  # fmt: skip
    assert "DataSet(key=AAPL/5Min/OHLCV, shape=(1,), dtype=[('Epoch', '<i8')" in found[-1]


def test_several_statements_are_several_results(both):
    found = both(
        """
        statements = ["SELECT Epoch, Volume FROM `AAPL/1Min/OHLCV` LIMIT 2;",
                      "SELECT count(*) AS n FROM `MSFT/1Min/OHLCV`;"]
        first, second = client.sql(statements).results
        out = [first.first().df()["Volume"].tolist(), str(first.first().df().index[0]),
               second.first().array["n"].tolist()]
        """
    )
    assert found == [[0, 1], "2024-07-01 10:30:00-04:00", [10]]


def test_a_query_is_built_and_sent(peer):
    assert peer.run(
        """
        params = pymkt.Params("AAPL", "1Min", "OHLCV", start=start, limit=2, columns=["Open"])
        reply = c.client.rpc.call("DataService.Query", **c._build_query(params))
        answer = g.client.stub.Query(g._build_query([params, params]))
        out = [reply["responses"][0]["result"]["length"], len(answer.responses),
               answer.responses[1].result.data.length, answer.timezone]
        """
    ) == [2, 2, 2, TIMEZONE]


def test_the_clients_below_do_the_same(peer):
    over_http, over_grpc = peer.run(
        """
        out = []
        for low in (pymkt.jsonrpc_client.JsonRpcClient(url + "/rpc"), pymkt.GRPCClient(g.endpoint)):
            shape = [("Epoch", "i8"), ("P", "<f4")]
            steps = [low.create("NEW/1Sec/T", shape, isvariablelength=True)]
            steps.append(low.write(np.array([(start, 1.0)] * 2, dtype=shape), "NEW/1Sec/T"))
            steps.append(low.create("NEW/1Sec/T", shape))
            steps.append(low.destroy("NEW/1Sec/T"))
            steps.append(low.destroy("NEW/1Sec/T"))
            failures = [[(r["error"], r["version"]) for r in step["responses"] or []]
                if isinstance(step, dict) else [(r.error, r.version) for r in step.responses]
                for step in steps]
            rows = low.query(pymkt.Params("AAPL", "1Min", "OHLCV")).first().array["Volume"].tolist()
            total = low.sql("SELECT sum(Volume) AS v FROM `AAPL/1Min/OHLCV`").first().array.tolist()
            out.append([failures, rows, total, list(low.list_symbols()), low.server_version()])
        """
    )
    assert over_http == over_grpc
    (created, written, again, destroyed, gone), rows, total, symbols, version = over_http
    done = [["", tsstore.__version__]]
    assert (created, written, destroyed) == (done, [], done)
    assert "Can not overwrite file" in again[0][0]
    assert "Unable to find level item" in gone[0][0]
    assert (rows, total) == (list(range(10)), [[45.0]])
    assert (symbols, version) == (["AAPL", "MSFT"], tsstore.__version__)


def test_methods_may_be_called_by_their_names(peer):
    found = peer.run(
        """
        low = pymkt.MsgpackRpcClient(url + "/rpc")
        out = [low.call("DataService.ListSymbols", format="tbk"),
               low.call("DataService.Query", requests=[]),
               low.call("DataService.GetInfo", requests=[{"key": "AAPL/1Min/OHLCV"}]),
               text_of(lambda: low.call("DataService.SQL")),
               text_of(lambda: low.call("DataService.Query", requests="x"))]
        """
    )
    assert found[0] == {"Results": ["AAPL/1Min/OHLCV", "MSFT/1Min/OHLCV"]}
    assert found[1] == {"responses": None, "version": tsstore.__version__, "timezone": TIMEZONE}
    info = found[2]["responses"][0]
    assert (info["LatestYear"], info["TimeFrame"], info["RecordType"]) == (2024, 60 * 10**9, 0)
    assert [column["Type"] for column in info["DSV"]] == [4, 0, 0, 0, 0, 0]
    assert found[3] == 'rpc: can\'t find method "DataService.SQL"'
    assert found[4] == "requests is a list, not str: {'requests': 'x'}"


def test_nobody_there_is_said_as_ever(peer):
    text = peer.run(
        """
        nobody = pymkt.Client("http://127.0.0.1:9/rpc")
        out = text_of(lambda: nobody.write(bars, "A/1Min/OHLCV"))
        """
    )
    assert text == "Could not contact server"


def test_handlers_come_and_go(peer):
    bars, ticks = peer.run(
        """
        import threading, time

        class Enough(Exception):
            pass

        kinds = {"bars": [], "ticks": []}
        ready = threading.Event()
        stream = c.client.stream()

        def ticked(connection, message):
            kinds["ticks"].append(message)
            if len(kinds["ticks"]) == 2:
                raise Enough

        def never(connection, message):
            raise AssertionError("it was taken away")

        @stream.on("/OHLCV$")
        def barred(connection, message):
            if message["key"].startswith("READY"):
                ready.set()

        @stream.on(".*/1Min/OHLCV$")
        def also_barred(connection, message):
            if message["key"].startswith("A/"):
                kinds["bars"].append(message)

        stream.register("A/1Sec/T$", ticked)
        stream.register(".*", never)
        stream.deregister(".*")
        stream.deregister("/OHLCV$")
        stream.register(".*/OHLCV$", barred)

        def feed():
            while not ready.wait(0.02):
                c.write(bars[:1], "READY/1Min/OHLCV")
            c.write(bars[:2], "A/1Min/OHLCV")
            rows = np.array([(start, 1.5, 3, "AB", 7), (start, 2.5, 4, "é", 8)],
                dtype=[("Epoch", "i8"), ("P", "f8"), ("S", "u4"), ("C", "U16"),
                       ("Nanoseconds", "i4")])
            c.write(rows, "A/1Sec/T", isvariablelength=True)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            stream.run(["*/1Min/OHLCV", "A/1Sec/*"])
        except Enough:
            pass
        feeder.join()
        out = [kinds["bars"], kinds["ticks"]]
        """
    )
    epoch = 1_719_844_200
    assert [(one["key"], one["data"]["Epoch"], one["data"]["Close"]) for one in bars] == [
        ("A/1Min/OHLCV", epoch, 100.5),
        ("A/1Min/OHLCV", epoch + 60, 101.5),
    ]
    first, second = (one["data"] for one in ticks)
    assert list(first) == ["Epoch", "P", "S", "C", "Nanoseconds"]
    assert (first["P"], first["S"], first["C"], first["Nanoseconds"]) == (
        1.5, 3, [65, 66, *[0] * 14], 7,
    )  # fmt: skip
    assert (second["Epoch"], second["C"][0], second["Nanoseconds"]) == (epoch, 0xE9, 8)


def test_written_and_refused_rows_are_told_alike(both):
    found = both(
        """
        out = []
        for value, kind in ((2**40, "i8"), ("x", "U4"), (1, ">f4")):
            rows = np.array([(start, value)], dtype=[("Epoch", "i8"), ("Volume", kind)])
            reply = client.write(rows, "X/1Min/" + kind.strip(">"))
            replies = reply["responses"] or [] if isinstance(reply, dict) else reply.responses
            out.append([r["error"] if isinstance(r, dict) else r.error for r in replies])
        """
    )
    assert found[:2] == [[], []]
    assert found[2][0].startswith("unsupported type string >f4")
