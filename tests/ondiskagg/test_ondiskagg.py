"""The trigger `ondiskagg` on a real store: what is stored is what a query would compute."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from time import sleep

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsstore import aggregate, tradebars
from tsstore.api import Replace, Write
from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.host import Plugin, PluginHost, Plugins
from tsstore.host import changes as host_changes
from tsstore.host.resolve import trigger_pattern
from tsstore.redact import Redactor
from tsstore.schema import Schema
from tsstore.store import Store
from tsstore.timeframe import Timeframe
from tsstore.times import to_ns
from tsstore_ondiskagg import OnDiskAggConfig, Trigger

NEW_YORK = "America/New_York"
MINUTE = 60 * 10**9
BASE = "AAPL/1Min/OHLCV"
DESTINATIONS = ["5Min", "15Min", "1H", "1D"]
# The clocks of New York change on the second day.
T0 = to_ns("2013-11-02 13:30")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(host_changes, "GATHER_S", 0.0)


class Watched(Store):
    """A store that counts what is asked of it."""

    reads = 0
    commits = 0

    def read(self, *args, **options):
        self.reads += 1
        return super().read(*args, **options)

    def commit(self, operations):
        self.commits += 1
        return super().commit(operations)


@pytest.fixture
def store(tmp_path):
    with Watched(tmp_path / "data", timezone=NEW_YORK) as opened:
        yield opened


def plugin(destinations=DESTINATIONS, on="*/1Min/OHLCV", **options):
    config = OnDiskAggConfig(list(destinations), **options)
    return Plugin("trigger", f"ondiskagg {on}", Trigger, config, trigger_pattern(on))


@contextmanager
def running(store, *plugins):
    """A server's plugins at work; when this ends they have handled all that was committed."""
    host = PluginHost(
        Plugins(triggers=plugins or (plugin(),)), store, clock=SystemClock(),
        redactor=Redactor(), publish=lambda _key, _row: None, timezone=store.timezone,
    )  # fmt: skip
    host.start()
    while any(one["state"] != "running" for one in host.status()["triggers"].values()):
        sleep(0.002)
    try:
        yield host
    finally:
        assert host.stop(30) == []


def bars(minutes, seed=0, start=T0):
    """Minute bars at some minutes after the start."""
    minutes = np.asarray(minutes, np.int64)
    random = np.random.default_rng(seed)
    prices = np.round(100 + random.standard_normal((4, len(minutes))), 2)
    arrays = dict(zip(("Open", "High", "Low", "Close"), prices, strict=True))
    arrays["Volume"] = random.integers(0, 10**6, len(minutes)) / 4
    arrays["VWAP"] = np.round(100 + random.standard_normal(len(minutes)), 4)
    return Columns(start + minutes * MINUTE, arrays)


def rows_of(columns):
    """Instant to values, for comparing bit by bit."""
    arrays = [array for _, array in columns.items()]
    return {
        int(ts): tuple(array[at].tobytes() for array in arrays) for at, ts in enumerate(columns.ts)
    }


def read_all(store, key):
    try:
        return store.read(key)
    except NotFoundError:
        return None


def assert_up_to_date(store, key=BASE, destinations=DESTINATIONS):
    base = store.read(key)
    symbol, _, group = key.split("/")
    for text in destinations:
        stored = store.read(f"{symbol}/{text}/{group}")
        assert f"{symbol}/{text}/{group}" in store.list()
        computed = aggregate.resample(base, Timeframe.parse(text), store.timezone)
        assert stored.names == computed.names
        assert rows_of(stored) == rows_of(computed), text


def test_bars_of_all_destinations_are_kept(store):
    with running(store):
        for minute in range(0, 200, 7):
            store.write(BASE, bars(range(minute, minute + 7), seed=minute))
    assert_up_to_date(store)


def test_the_bar_of_today_is_today_so_far(store):
    with running(store):
        store.write(BASE, bars([0, 1]))
    first = store.read("AAPL/1D/OHLCV")
    with running(store):
        store.write(BASE, bars([2], seed=5))
    second = store.read("AAPL/1D/OHLCV")
    assert first.ts.tolist() == second.ts.tolist() == [to_ns("2013-11-02", tz=NEW_YORK)]
    assert second["Close"][0] == store.read(BASE)["Close"][2] != first["Close"][0]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "replace", "delete", "restart", "bulk", "flush"]),
            st.integers(0, 3000), st.integers(1, 400), st.integers(1, 9),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_late_corrected_replaced_and_deleted_rows(tmp_path_factory, steps):
    with Store(tmp_path_factory.mktemp("data"), timezone=NEW_YORK) as store:
        store.write(BASE, bars(range(0, 3400, 11)))
        keep = plugin(["5Min", "1H", "1D", "1W"])
        left = list(steps)
        while True:
            with running(store, keep):
                while left and left[0][0] != "restart":
                    change(store, *left.pop(0))
            if not left:
                break
            left.pop(0)
        assert_up_to_date(store, destinations=["5Min", "1H", "1D"])
        days = aggregate.resample(store.read("AAPL/1D/OHLCV"), Timeframe.parse("1W"), NEW_YORK)
        assert rows_of(store.read("AAPL/1W/OHLCV")) == rows_of(days)


def change(store, kind, minute, length, step):
    first, last = T0 + minute * MINUTE, T0 + (minute + length) * MINUTE
    rows = bars(range(minute, minute + length, step), seed=minute)
    if kind == "write":
        store.write(BASE, rows)
    elif kind == "bulk":
        store.bulk({BASE: rows})
    elif kind == "flush":
        store.flush()
    elif kind == "replace":
        store.replace(BASE, np.datetime64(first, "ns"), np.datetime64(last, "ns"), rows)
    else:
        store.delete(BASE, np.datetime64(first, "ns"), np.datetime64(last, "ns"))


def test_what_was_written_while_no_server_ran_is_made_up_for(store):
    store.write(BASE, bars(range(100)))
    with running(store):
        pass
    assert_up_to_date(store)
    store.write(BASE, bars([3, 500, 501], seed=9))  # a correction and news
    store.write("MSFT/1Min/OHLCV", bars(range(10)))
    store.flush()
    with running(store):
        pass
    assert_up_to_date(store)
    assert_up_to_date(store, "MSFT/1Min/OHLCV")


@pytest.mark.parametrize("reopened", [False, True])
def test_a_start_without_news_reads_and_writes_no_bars(tmp_path, reopened):
    with Watched(tmp_path / "data", timezone=NEW_YORK) as store:
        for number in range(20):
            store.write(f"S{number}/1Min/OHLCV", bars(range(300)))
        with running(store):
            store.write(BASE, bars(range(300)))
        if not reopened:
            assert_idle_start(store)
        store.flush()
    with Watched(tmp_path / "data") as store:
        assert_idle_start(store)


def assert_idle_start(store):
    store.reads = store.commits = 0
    with running(store):
        pass
    assert store.reads == 1  # the position
    assert store.commits == 0


def test_a_new_or_destroyed_destination_is_filled_from_history(store):
    store.write(BASE, bars(range(100)))
    with running(store):
        pass
    store.destroy("AAPL/1H/OHLCV")
    with running(store):
        pass
    assert_up_to_date(store)
    with running(store, plugin([*DESTINATIONS, "30Min"])):
        pass
    assert_up_to_date(store, destinations=[*DESTINATIONS, "30Min"])


def test_a_minute_of_many_symbols_is_one_write(store):
    symbols = np.array([f"S{n}" for n in range(300)])
    columns = dict(bars(np.zeros(300)).items())
    table = {"Symbol": symbols, "Epoch": np.full(300, T0 // 10**9), **columns}
    with running(store):
        store.commits = 0
        store.write_table("1Min/OHLCV", table)
    assert store.commits <= 1 + 1 + 2  # the minute, its bars, the position now and at the end
    for symbol in symbols[::100]:
        assert_up_to_date(store, f"{symbol}/1Min/OHLCV")


def test_bars_without_rows_go_with_the_rows(store):
    with running(store):
        store.write(BASE, bars(range(120)))
        store.delete(BASE, np.datetime64(T0, "ns"), np.datetime64(T0 + 60 * MINUTE - 1, "ns"))
    assert_up_to_date(store)
    with running(store):
        store.delete(BASE, np.datetime64(T0, "ns"))
    assert len(store.read("AAPL/5Min/OHLCV")) == len(store.read("AAPL/1D/OHLCV")) == 0


def test_retention_of_minutes_keeps_the_longer_bars(store):
    with running(store):
        store.write(BASE, bars(range(120)))
    before = {text: rows_of(store.read(f"AAPL/{text}/OHLCV")) for text in DESTINATIONS}
    with running(store):
        store.delete(BASE, end=np.datetime64(T0 + 70 * MINUTE, "ns"))
    with running(store):
        pass
    assert {text: rows_of(store.read(f"AAPL/{text}/OHLCV")) for text in DESTINATIONS} == before


def test_a_destination_with_other_columns_is_named_once_and_the_rest_goes_on(store, caplog):
    store.create("AAPL/15Min/OHLCV", Schema.of({"Open": "f8", "TickCnt": "i4"}))
    with running(store) as host, caplog.at_level(logging.ERROR):
        for minute in range(5):
            store.write_many({BASE: bars([minute]), "MSFT/1Min/OHLCV": bars([minute], seed=minute)})
    status = next(iter(host.status()["triggers"].values()))
    assert status["refused_bars"] >= 1
    assert status["error"] is None
    errors = [record.getMessage() for record in caplog.records]
    assert len(errors) == 1
    assert "AAPL/15Min/OHLCV: has the columns Open f8, TickCnt i4" in errors[0]
    assert "VWAP f8" in errors[0]
    assert_up_to_date(store, destinations=["5Min", "1H", "1D"])
    assert_up_to_date(store, "MSFT/1Min/OHLCV")


def test_a_destroyed_destination_is_made_again_from_history(store):
    with running(store):
        store.write(BASE, bars(range(100)))
    with running(store):
        store.destroy("AAPL/1H/OHLCV")
        store.write(BASE, bars([200]))
    assert_up_to_date(store)


def test_a_bucket_that_was_in_the_way_is_made_anew_when_it_is_gone(store):
    store.create("AAPL/15Min/OHLCV", Schema.of({"Open": "f8", "TickCnt": "i4"}))
    store.write(BASE, bars(range(100)))
    with running(store):
        store.destroy("AAPL/15Min/OHLCV")
        store.write(BASE, bars([102]))
    assert_up_to_date(store)


def test_what_never_comes_to_be_is_looked_for_once(tmp_path):
    sunday = to_ns("2013-11-03 12:00", tz=NEW_YORK)
    with Watched(tmp_path / "data", timezone=NEW_YORK) as store:
        store.write(BASE, bars(range(500), start=sunday))
        with running(store, plugin(["1D"], filter="nasdaq")) as host:
            for minute in range(500, 505):
                store.reads = 0
                store.write(BASE, bars([minute], start=sunday))
                while (
                    host.status()["triggers"]["ondiskagg */1Min/OHLCV"]["handled_keys"]
                    < minute - 498
                ):
                    sleep(0.002)
        assert store.list("AAPL/1D/*") == []


MARKETSTORE = {"Open": "f4", "High": "f4", "Low": "f4", "Close": "f4", "Volume": "i4"}


@pytest.mark.parametrize("volume", ["i4", "f4", "f8"])
def test_bars_fit_destinations_as_marketstore_made_them(store, caplog, volume):
    types = {**MARKETSTORE, "Volume": volume}
    minutes = Columns(
        T0 + np.arange(10) * MINUTE,
        {name: np.full(10, 0.1, kind) if kind == "f4" else np.full(10, 7, kind)
         for name, kind in types.items()},
    )  # fmt: skip
    store.create("AAPL/5Min/OHLCV", Schema.of(types))
    with running(store):
        store.write(BASE, minutes)
        store.write("MSFT/1Min/OHLCV", minutes)
    five = store.read("AAPL/5Min/OHLCV")
    assert five.schema == Schema.of(types)
    expected = aggregate.resample(minutes, Timeframe.parse("5Min"))["Volume"].astype(volume)
    assert np.array_equal(five["Volume"], expected)
    assert store.read("MSFT/1H/OHLCV")["Open"].dtype == np.dtype("f4")
    assert caplog.text == ""


def test_values_that_do_not_fit_cost_their_bucket_alone(store, caplog):
    columns = dict.fromkeys(("Open", "High", "Low", "Close"), "f8")
    store.create("AAPL/5Min/OHLCV", Schema.of({**columns, "Volume": "i4", "VWAP": "f8"}))
    with running(store), caplog.at_level(logging.ERROR):
        for minute in range(10):
            store.write_many({BASE: bars([minute], minute), "MSFT/1Min/OHLCV": bars([minute])})
    errors = [record.getMessage() for record in caplog.records]
    assert len(errors) == 1
    assert "AAPL/5Min/OHLCV: has the columns" in errors[0]
    assert_up_to_date(store, destinations=["15Min", "1H", "1D"])
    assert_up_to_date(store, "MSFT/1Min/OHLCV")


def test_destinations_are_no_base(store):
    with running(store, plugin(on="*/*/OHLCV")):
        store.write(BASE, bars(range(30)))
    assert_up_to_date(store)
    assert store.list("AAPL/*/*") == sorted(f"AAPL/{t}/OHLCV" for t in [*DESTINATIONS, "1Min"])


def test_one_trigger_may_go_on_where_another_ends(store):
    with running(store, plugin(["1H"]), plugin(["4H"], on="*/1H/OHLCV")):
        store.write(BASE, bars(range(600)))
    with running(store, plugin(["1H"]), plugin(["4H"], on="*/1H/OHLCV")):
        pass
    hours = store.read("AAPL/1H/OHLCV")
    computed = aggregate.resample(hours, Timeframe.parse("4H"), NEW_YORK)
    assert rows_of(store.read("AAPL/4H/OHLCV")) == rows_of(computed)


def test_a_copied_and_a_renamed_bucket_get_their_bars(store):
    store.write(BASE, bars(range(100)))
    with running(store):
        store.copy(BASE, "COPY/1Min/OHLCV")
        store.rename(BASE, "NEW/1Min/OHLCV")
    assert_up_to_date(store, "COPY/1Min/OHLCV")
    assert_up_to_date(store, "NEW/1Min/OHLCV")


def test_long_history_is_read_in_parts(store, monkeypatch):
    monkeypatch.setattr("tsstore_ondiskagg.refresh.ROWS_AT_ONCE", 2000)
    store.write(BASE, bars(range(0, 20_000, 3)))
    with running(store, plugin(["5Min", "1D", "1W"])):
        pass
    assert_up_to_date(store, destinations=["5Min", "1D"])
    assert len(store.read("AAPL/1W/OHLCV")) == 3


def test_bars_of_made_up_rows_are_marked_as_such(store):
    rows = bars(range(100))
    made_up = replace(rows.schema, synthetic=True)
    with running(store):
        store.commit([Write(BASE, rows, made_up), Write("REAL/1Min/OHLCV", rows)])
    with running(store):  # replaced as well
        ends = np.array([T0, T0 + 9 * MINUTE]).view("M8[ns]")
        store.commit([Replace(BASE, *ends, bars([3, 4]), made_up)])
    assert_up_to_date(store)
    marked = {key for key in store.list() if store.info(key).schema.synthetic}
    assert marked == {BASE, *(f"AAPL/{text}/OHLCV" for text in DESTINATIONS)}
    store.destroy("AAPL/5Min/OHLCV")
    store.write("AAPL/5Min/OHLCV", bars([0]))  # real rows in the way
    with running(store) as host:
        store.commit([Write(BASE, bars([200]), made_up)])
    assert host.status()["triggers"]["ondiskagg */1Min/OHLCV"]["refused_bars"]
    assert not store.info("AAPL/5Min/OHLCV").schema.synthetic


def test_rows_that_are_no_bars_are_passed_over(store):
    with running(store) as host:
        store.write("X/1Min/OHLCV", Columns(bars([0]).ts, {"Close": np.ones(1)}))
        store.write(BASE, bars([0]))
    assert store.list("X/*/*") == ["X/1Min/OHLCV"]
    assert_up_to_date(store)
    assert next(iter(host.status()["triggers"].values()))["errors"] == 0


def test_a_damaged_bucket_costs_its_own_bars_alone(tmp_path, caplog):
    with Store(tmp_path / "data", timezone=NEW_YORK) as store:
        store.write(BASE, bars(range(100)))
        store.flush()
        store.write("MSFT/1Min/OHLCV", bars(range(100)))
    path = next((tmp_path / "data").rglob("*.seg"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with Store(tmp_path / "data") as store:
        with running(store, plugin()) as host, caplog.at_level(logging.ERROR):
            store.write(BASE, bars([101]))
            store.write("MSFT/1Min/OHLCV", bars([101]))
        status = host.status()["triggers"]["ondiskagg */1Min/OHLCV"]
        assert status["unreadable"] >= 1
        assert (status["state"], status["errors"]) == ("stopped", 0)
        assert_up_to_date(store, "MSFT/1Min/OHLCV")
        assert store.list("AAPL/*/*") == [BASE]
    assert len(caplog.records) == 1
    assert "no bars are made of AAPL/1Min/OHLCV" in caplog.text


# Market hours


def test_filter_keeps_daily_bars_to_market_hours(store):
    days = ["2013-11-27", "2013-11-28", "2013-11-29", "2013-11-30"]  # Thanksgiving is the 28th
    every = np.concatenate(
        [to_ns(day, tz=NEW_YORK) + np.arange(0, 1440, 10) * MINUTE for day in days]
    )
    store.write(BASE, bars((every - T0) // MINUTE))
    with running(store, plugin(["1H", "1D"], filter="nasdaq")):
        pass
    base, daily = store.read(BASE), store.read("AAPL/1D/OHLCV")
    assert daily.ts.tolist() == [to_ns(day, tz=NEW_YORK) for day in (days[0], days[2])]
    for day, end, at in ((days[0], "20:00", 0), (days[2], "17:00", 1)):
        opened, closed = to_ns(f"{day} 04:00", tz=NEW_YORK), to_ns(f"{day} {end}", tz=NEW_YORK)
        inside = base.take((base.ts >= opened) & (base.ts < closed))
        assert daily["Volume"][at] == inside["Volume"].sum()
        assert daily["Open"][at] == inside["Open"][0]
        assert daily["Close"][at] == inside["Close"][-1]
    assert_up_to_date(store, destinations=["1H"])


def test_weeks_of_filtered_days_are_filtered_too(store):
    sunday = to_ns("2013-11-03 12:00", tz=NEW_YORK)
    store.write(BASE, bars(range(100), start=sunday))
    store.write("MSFT/1Min/OHLCV", bars(range(3000), start=sunday))
    with running(store, plugin(["1D", "1W"], filter="nasdaq")):
        pass
    assert store.list("AAPL/*/*") == [BASE]
    days = store.read("MSFT/1D/OHLCV")
    weeks = aggregate.resample(days, Timeframe.parse("1W"), NEW_YORK)
    assert rows_of(store.read("MSFT/1W/OHLCV")) == rows_of(weeks)


def test_filter_in_another_zone_warns_and_does_not_filter(tmp_path, caplog):
    with Store(tmp_path / "utc") as store, caplog.at_level(logging.WARNING):
        with running(store, plugin(["1D"], filter="nasdaq")):
            store.write(BASE, bars(range(600)))
        assert_up_to_date(store, destinations=["1D"])
    assert "`filter: nasdaq` is passed over" in caplog.text
    assert "timezone: America/New_York" in caplog.text


# Trades


def trades(seconds, seed=0):
    random = np.random.default_rng(seed)
    count = len(seconds)
    return Columns(
        np.sort(T0 + np.asarray(seconds) * 10**9 + random.integers(0, 10**9, count)),
        {
            "Price": np.round(100 + random.standard_normal(count), 2),
            "Size": random.integers(1, 500, count).astype("f8"),
            "Cond1": random.choice([0, 14, 37, 12], count).astype("u1"),
        },
        variable=True,
    )


def test_trades_become_bars(store):
    key = "AAPL/1Sec/TRADE"
    with running(store, plugin(["1Min", "1H", "1D"], on="*/1Sec/TRADE")):
        for part in range(5):
            store.write(key, trades(range(part * 300, part * 300 + 300), seed=part), variable=True)
    minutes = tradebars.resample(store.read(key), Timeframe.parse("1Min"), NEW_YORK)
    assert rows_of(store.read(BASE)) == rows_of(minutes)
    # Longer ones are made of the minutes, as a query does it that finds both.
    for text, of in (("1H", "1Min"), ("1D", "1H")):
        computed = aggregate.resample(
            store.read(f"AAPL/{of}/OHLCV"), Timeframe.parse(text), NEW_YORK
        )
        assert rows_of(store.read(f"AAPL/{text}/OHLCV")) == rows_of(computed)


def test_deleted_trades_take_their_bars_along(store):
    key = "AAPL/1Sec/TRADE"
    with running(store, plugin(["1Min", "1H"], on="*/1Sec/TRADE")):
        store.commit([Write(key, trades(range(600)), variable=True)])
        first, last = (
            np.datetime64(T0 + 60 * 10**9, "ns"),
            np.datetime64(T0 + 120 * 10**9 - 1, "ns"),
        )
        store.commit([Replace(key, first, last, trades([60], seed=3))])
    minutes = tradebars.resample(store.read(key), Timeframe.parse("1Min"), NEW_YORK)
    assert rows_of(store.read(BASE)) == rows_of(minutes)
