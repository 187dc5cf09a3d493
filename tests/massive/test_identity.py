"""Ticks that nobody numbers: one row whichever way they come, two when there were two."""

from __future__ import annotations

import gzip
import json
import logging
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.massive.examples import MS, START
from tests.massive.socket_server import frame
from tsstore.clock import ManualClock
from tsstore.columns import Columns
from tsstore_massive.decoding import identity
from tsstore_massive.decoding.identity import Numbering
from tsstore_massive.decoding.messages import Events
from tsstore_massive.decoding.pages import decode_page
from tsstore_massive.faults import Faults
from tsstore_massive.flatfiles.catalogue import FlatSet
from tsstore_massive.flatfiles.load import Job, Loader
from tsstore_massive.flatfiles.selection import Selection
from tsstore_massive.schemas import SCHEMAS, Kind, bucket_key
from tsstore_massive.streaming.sink import Sink

if TYPE_CHECKING:
    from pathlib import Path

    import tsstore
    from tsstore_massive.symbols import Market

Tick = tuple[str, int, float, float]
"""Symbol, millisecond, price and size."""


def named(numbering: Numbering, ticks: list[Tick]) -> list[tuple[str, int, int, int]]:
    """What names each trade within its bucket and millisecond."""
    symbols = [tick[0] for tick in ticks]
    ts = np.array([tick[1] for tick in ticks], np.int64) * MS
    columns = {n: np.zeros(len(ticks), dtype) for n, dtype in SCHEMAS["trades"].dtypes.items()}
    columns["Price"] = np.array([tick[2] for tick in ticks], "f8")
    columns["Size"] = np.array([tick[3] for tick in ticks], "f8")
    found = numbering.named("trades", ts, columns, lambda rows: [symbols[row] for row in rows])
    names = (found["Sequence"].tolist(), found["TradeID"].tolist())
    return list(zip(symbols, (ts // MS).tolist(), *names, strict=True))


TICKS = st.lists(
    st.tuples(
        st.sampled_from(["A", "B"]),
        st.integers(1, 3),
        st.sampled_from([0.0, -0.0, 1.5, 2.5]),
        st.sampled_from([1.0, 2.0]),
    ),
    min_size=1,
    max_size=40,
)


@given(TICKS, st.data())
def test_names_depend_on_neither_order_nor_batches(ticks: list[Tick], data: Any) -> None:
    shuffled = data.draw(st.permutations(ticks))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ticks)), max_size=4)))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(ticks)], strict=True)]
    numbering = Numbering()
    in_parts = [name for part in parts if part for name in named(numbering, part)]
    assert Counter(in_parts) == Counter(named(Numbering(), ticks))


@given(TICKS)
def test_every_tick_has_a_name_of_its_own_and_equals_are_counted(ticks: list[Tick]) -> None:
    names = named(Numbering(), ticks)
    assert len(set(names)) == len(ticks)
    together = Counter(ticks)
    assert Counter(places := [place for _, _, place, _ in names])[0] == len(together)
    assert max(places) == max(together.values()) - 1


@given(TICKS)
def test_a_part_of_the_ticks_has_a_part_of_the_names(ticks: list[Tick]) -> None:
    part = Counter(named(Numbering(), ticks[::2]))
    assert part <= Counter(named(Numbering(), ticks))


def test_a_digest_is_for_ever() -> None:
    # It is stored: another one would make two rows of every tick that is fetched again.
    assert named(Numbering(), [("A", START, 4.95, 2.0)]) == [
        ("A", START, 0, -8908508036452672823)
    ]  # fmt: skip


def test_what_came_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "REMEMBERED", 8)
    numbering, tick = Numbering(), ("A", 1, 1.5, 1.0)
    assert [named(numbering, [tick])[0][2] for _ in range(3)] == [0, 1, 2]
    named(numbering, [("A", 1, 9.0, float(n)) for n in range(7)])
    assert named(numbering, [tick])[0][2] == 3
    named(numbering, [("A", 1, 8.0, float(n)) for n in range(20)])
    named(numbering, [("A", 1, 7.0, float(n)) for n in range(20)])
    assert named(numbering, [tick])[0][2] == 0


def test_what_has_a_number_keeps_it() -> None:
    columns = {n: np.zeros(2, dtype) for n, dtype in SCHEMAS["trades"].dtypes.items()}
    columns["Sequence"][:] = 7, 0
    columns["TradeID"][:] = 0, 8
    found = Numbering().named("trades", np.zeros(2, np.int64), columns, lambda _: ["A", "A"])
    assert found is columns


# One tick from the socket, from REST and from a file, in one store.

DAY = date(2026, 10, 5)
EXACT = START * MS + 42_123_456
OPTION = "O:AAPL261218C00300000"


def _rest(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"status": "OK", "results": rows}).encode()


class _Tick:
    """A tick as all three sources tell it, and how its row reads at last."""

    def __init__(
        self,
        flat: FlatSet,
        symbol: str,
        event: dict[str, Any],
        row: dict[str, Any],
        line: tuple[str, str],
        expected: dict[str, Any],
    ) -> None:
        self.flat, self.symbol, self.event, self.row = flat, symbol, event, row
        self.line, self.expected = line, expected
        self.market: Market = flat.market  # type: ignore[assignment]
        self.kind: Kind = flat.rows
        self.key = bucket_key(symbol, flat.group)

    def stream(self, store: tsstore.Store, sink: Sink, times: int = 1) -> None:
        events = Events(Faults(), self.market)
        events.add(frame(*[self.event] * times))
        sink.write(events)

    def fetch(self, store: tsstore.Store, times: int = 1) -> None:
        page = decode_page(_rest(*[self.row] * times), self.market, self.kind)
        assert not page.faults
        ts = page.columns.ts
        columns = Numbering().named(
            self.kind, ts, dict(page.columns.items()), lambda rows: [self.symbol] * len(rows)
        )
        store.write(self.key, Columns(ts, columns, variable=True), schema=SCHEMAS[self.kind])

    def load(self, store: tsstore.Store, folder: Path, times: int = 1) -> None:
        path = folder / f"{DAY}.csv.gz"
        lines = [self.line[0], *[self.line[1]] * times, ""]
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
        loader = Loader(store, timezone="UTC", is_stopped=lambda: False, on_rows=lambda _: None)
        loader.load(Job(self.flat, DAY, path, Selection(["*"]), replaces=False))

    def __str__(self) -> str:
        return str(self.flat)


TICKS_OF_ALL = [
    _Tick(
        FlatSet.of("forex", "quotes"), "C:EUR-USD",
        {"ev": "C", "p": "EUR/USD", "x": "48", "a": 1.0634, "b": 1.0631, "t": START + 42},
        {"ask_exchange": 48, "ask_price": 1.0634, "bid_exchange": 48, "bid_price": 1.0631,
         "participant_timestamp": EXACT},
        ("ticker,ask_exchange,ask_price,bid_exchange,bid_price,participant_timestamp",
         f"C:EUR-USD,48,1.0634,48,1.0631,{EXACT}"),
        {"BidPrice": 1.0631, "AskPrice": 1.0634, "BidExchange": 48, "AskExchange": 48,
         "ParticipantNs": EXACT},
    ),
    _Tick(
        FlatSet.of("crypto", "trades"), "X:BTC-USD",
        {"ev": "XT", "pair": "BTC-USD", "p": 33021.9, "t": START + 42, "s": 0.01616617, "c": [2],
         "i": "14272084", "x": 3, "r": START + 80},
        {"conditions": [2], "exchange": 3, "id": "14272084", "participant_timestamp": EXACT,
         "price": 33021.9, "size": 0.01616617},
        ("ticker,conditions,exchange,id,participant_timestamp,price,size",
         f"X:BTC-USD,2,3,14272084,{EXACT},33021.9,0.01616617"),
        {"Price": 33021.9, "Size": 0.01616617, "Exchange": 3, "Cond1": 2, "TradeID": 14272084,
         "ParticipantNs": EXACT},
    ),
    _Tick(
        FlatSet.of("stocks", "quotes"), "GTE",  # most have a sequence
        {"ev": "Q", "sym": "GTE", "t": START + 42, "bp": 4.21, "bs": 300, "bx": 11, "z": 1},
        {"bid_price": 4.21, "bid_size": 300, "bid_exchange": 11, "tape": 1,
         "sip_timestamp": EXACT},
        ("ticker,bid_exchange,bid_price,bid_size,ask_price,sip_timestamp,tape",
         f"GTE,11,4.21,300,0,{EXACT},1"),
        {"BidPrice": 4.21, "BidSize": 300, "BidExchange": 11, "TapeID": 1},
    ),
    _Tick(
        FlatSet.of("options", "trades"), OPTION,
        {"ev": "T", "sym": OPTION, "x": 312, "p": 4.95, "s": 2, "c": [209], "t": START + 42,
         "q": 718200},
        {"conditions": [209], "exchange": 312, "price": 4.95, "size": 2, "sip_timestamp": EXACT},
        ("ticker,conditions,correction,exchange,price,sip_timestamp,size",
         f"{OPTION},209,0,312,4.95,{EXACT},2"),
        {"Price": 4.95, "Size": 2, "Exchange": 312, "Cond1": 209},
    ),
]  # fmt: skip


@pytest.fixture
def sink(store: tsstore.Store) -> Sink:
    return Sink(store, ManualClock(EXACT + MS), logging.getLogger("tests.identity"))


@pytest.mark.parametrize("tick", TICKS_OF_ALL, ids=str)
@pytest.mark.parametrize("order", ["srf", "frs", "rsf", "sfs"])
def test_a_tick_of_three_sources_is_one_row(
    store: tsstore.Store, sink: Sink, tmp_path: Path, tick: _Tick, order: str
) -> None:
    for source in order:
        if source == "s":
            tick.stream(store, sink)
        elif source == "r":
            tick.fetch(store)
        else:
            tick.load(store, tmp_path)
        sink.reconnected()
    rows = store.read(tick.key)
    assert rows.ts.tolist() == [EXACT]
    row = {name: column[0] for name, column in rows.items() if column[0]}
    if tick.market != "crypto":  # whose ids tell trades apart
        row.pop("Sequence" if tick.kind == "quotes" else "TradeID")
    assert row == tick.expected


@pytest.mark.parametrize("tick", [TICKS_OF_ALL[0], TICKS_OF_ALL[2]], ids=str)
def test_a_second_like_it_is_a_second_row_wherever_it_comes_from(
    store: tsstore.Store, sink: Sink, tmp_path: Path, tick: _Tick
) -> None:
    tick.stream(store, sink)
    tick.stream(store, sink, times=2)  # in the next batch
    assert len(store.read(tick.key)) == 3
    tick.fetch(store, times=3)
    assert store.read(tick.key).ts.tolist() == [EXACT] * 3
    tick.load(store, tmp_path, times=3)
    assert store.read(tick.key).ts.tolist() == [EXACT] * 3


def test_what_a_new_connection_says_again_is_no_second(store: tsstore.Store, sink: Sink) -> None:
    tick = TICKS_OF_ALL[0]
    for _ in range(2):
        tick.stream(store, sink)
        sink.reconnected()
    assert len(store.read(tick.key)) == 1


def test_a_value_of_an_index_is_one_row_and_another_millisecond_another(
    store: tsstore.Store, sink: Sink, tmp_path: Path
) -> None:
    values = _Tick(
        FlatSet.of("indices", "values"), "I:SPX", {}, {},
        ("ticker,value,timestamp", f"I:SPX,5988.73,{EXACT}\nI:SPX,-1.5,{EXACT + MS}"), {},
    )  # fmt: skip
    values.load(store, tmp_path)
    events = Events(Faults(), "indices")
    for at in (41, 42, 42, 43):
        events.add(frame({"ev": "V", "val": 5988.73, "T": "I:SPX", "t": START + at}))
    sink.write(events)
    rows = store.read("I:SPX/1Sec/VALUE")
    assert list(zip(rows.ts.tolist(), rows["Value"], strict=True)) == [
        ((START + 41) * MS, 5988.73),
        (EXACT, 5988.73),
        ((START + 43) * MS, 5988.73),
        (EXACT + MS, -1.5),
    ]
