from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.massive.socket_server import MORNING_MS, MS, bar, frame, quote, status, trade
from tsstore_massive.decoding.messages import Events
from tsstore_massive.faults import Faults
from tsstore_massive.schemas import Kind


def decode(*frames: bytes) -> Events:
    events = Events(Faults())
    for data in frames:
        events.add(data)
    return events


def only_row(kind: Kind, event: Any) -> dict[str, Any]:
    table = decode(frame(event)).table(kind)
    assert table is not None
    assert len(table["Symbol"]) == 1
    return {name: column[0] for name, column in table.items()}


def symbols(events: Events, kind: Kind) -> list[str]:
    table = events.table(kind)
    return [] if table is None else table["Symbol"]


# What a column holds.


def test_a_fraction_of_a_share_is_not_zero() -> None:
    assert only_row("trades", trade(s=0, ds="0.007300"))["Size"] == 0.0073


def test_sizes_without_the_exact_text_are_the_number() -> None:
    assert only_row("trades", trade(ds=None))["Size"] == 40
    assert only_row("bars", bar(dv=None))["Volume"] == 4110


@pytest.mark.parametrize("number", [12, 12.0, "12", "12.0"])
def test_whole_numbers_come_in_any_spelling(number: Any) -> None:
    row = only_row("trades", trade(s=number, ds=None, q=number, z=number, x=number, i=number))
    values = [row[name] for name in ("Size", "Sequence", "TapeID", "Exchange", "TradeID")]
    assert values == [12] * 5
    assert only_row("bars", bar(v=number, dv=None, z=number))["Volume"] == 12


@pytest.mark.parametrize("fields", [{"c": None, "i": None, "pt": None, "trfi": None}, {"c": []}])
def test_absent_optional_fields_are_zero(fields: dict[str, Any]) -> None:
    row = only_row("trades", trade(**fields))
    assert row["Cond1"] == 0


def test_an_absent_side_of_a_quote_is_zero() -> None:
    row = only_row("quotes", quote(ap=None, ax=None, **{"as": None}))
    assert (row["AskPrice"], row["AskSize"], row["AskExchange"]) == (0, 0, 0)
    assert row["BidPrice"] == 297.83


def test_a_fifth_condition_is_cut_and_counted() -> None:
    events = decode(frame(trade(c=[1, 2, 3, 4, 5])))
    table = events.table("trades")
    assert table is not None
    assert [table[f"Cond{n}"][0] for n in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert events.faults.counts == {"trade with more than four conditions": 1}


def test_an_id_that_is_no_number_is_always_the_same_negative_one() -> None:
    first = only_row("trades", trade(i="52-ab"))["TradeID"]
    again = only_row("trades", trade(i="52-ab"))["TradeID"]
    other = only_row("trades", trade(i="52-ac"))["TradeID"]
    assert first == again < 0
    assert other not in (first, 0)


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        (MORNING_MS, MORNING_MS * MS),
        (MORNING_MS * 1_000 + 1, MORNING_MS * MS + 1_000),
        (MORNING_MS * MS + 123_456_789, MORNING_MS * MS + 123_456_789),
    ],
)
def test_times_are_exact_whatever_their_unit(time: int, ns: int) -> None:
    assert only_row("trades", trade(t=time))["Epoch"].astype(np.int64) == ns


@pytest.mark.parametrize("time", [2 * 10**13, 5 * 10**13, 10**14, 5 * 10**16, 10**17])
def test_no_time_runs_over(time: int) -> None:
    assert only_row("trades", trade(t=time))["Epoch"].astype(np.int64) > 0


def test_an_id_of_thousands_of_digits_is_one_of_letters() -> None:
    assert only_row("trades", trade(i="9" * 5_000))["TradeID"] < 0


def test_symbols_keep_their_spelling() -> None:
    events = decode(frame(trade("BCpC"), trade("BCPC"), trade("BRK.B"), trade("BF/B")))
    assert symbols(events, "trades") == ["BCpC", "BCPC", "BRK.B", "BF.B"]


def test_rows_stay_in_the_order_received_over_many_frames() -> None:
    numbers = list(range(5_000, 0, -1))
    frames = [
        frame(*(trade(number=n) for n in numbers[at : at + 100])) for at in range(0, 5_000, 100)
    ]
    table = decode(*frames).table("trades")
    assert table is not None
    assert table["Sequence"].tolist() == numbers


@pytest.mark.parametrize(("kind", "event"), [("trades", trade), ("quotes", quote), ("bars", bar)])
def test_a_row_does_not_depend_on_those_that_came_with_it(kind: Kind, event: Any) -> None:
    varied: dict[str, list[dict[str, Any]]] = {
        "trades": [
            {"c": list(range(1, n % 7))} | ({"ds": None} if n % 3 else {}) for n in range(9)
        ],
        "quotes": [{"i": [600 + n][: n % 2]} for n in range(9)],
        "bars": [{} if n % 2 else {"dv": None} for n in range(9)],
    }
    times = [{"t": MORNING_MS}, {"t": MORNING_MS * MS + 5}] if kind != "bars" else [{}]
    elements = [
        event(f"S{n % 50}/X", **varied[kind][n % 9], **times[n // 700 % len(times)])
        for n in range(1_400)
    ]
    together = decode(*(frame(*elements[at : at + 100]) for at in range(0, 1_400, 100)))
    table = together.table(kind)
    assert table is not None
    alone = [decode(frame(element)).table(kind) for element in elements[650:750]]
    for name, values in table.items():
        expected = [one[name][0] for one in alone if one is not None]
        np.testing.assert_array_equal(values[650:750], expected, err_msg=name)


def test_kinds_may_be_mixed_with_statuses() -> None:
    events = Events(Faults())
    statuses = events.add(
        frame(status("success", "subscribed to: T.*"), trade(), quote(), bar(), trade())
    )
    assert [s.message for s in statuses] == ["subscribed to: T.*"]
    assert len(events) == 4
    assert [len(symbols(events, kind)) for kind in ("bars", "trades", "quotes")] == [1, 2, 1]
    assert not events.faults.counts


def test_nothing_received_is_no_table() -> None:
    assert decode(b"[]").table("trades") is None


# A bad message costs itself only.

BAD_ELEMENTS = [
    {"ev": "LULD", "T": "AAPL", "h": 3.63, "l": 2.97},
    {"ev": "FMV", "fmv": 1.5, "sym": "AAPL", "t": 1},
    {"ev": "T"},
    {"ev": "T", "sym": 5, "p": 1, "t": MORNING_MS},
    trade(t="soon"),
    trade(t=12),
    trade(t=10**30),
    trade(t=-1),
    trade(p="NaN"),
    trade(p=-1),
    trade(p=[1]),
    trade(sym=""),
    trade(sym="A" * 1_000),
    trade(sym=".."),
    trade(sym="A B"),
    trade(sym="A*"),
    quote(t=None),
    quote(bp="x", t="x"),
    bar(o=None),
    bar(s=None),
    {"ev": 5},
    {"ev": None},
    {},
    [],
    [[]],
    None,
    17,
    "T",
]


@pytest.mark.parametrize("bad", BAD_ELEMENTS, ids=lambda bad: json.dumps(bad)[:50])
def test_a_bad_element_costs_itself_only_and_is_counted(bad: Any) -> None:
    events = decode(frame(trade(number=1), bad, trade(number=2), quote(), bar()))
    table = events.table("trades")
    assert table is not None
    assert table["Sequence"].tolist() == [1, 2]
    assert len(symbols(events, "quotes")) == len(symbols(events, "bars")) == 1
    assert events.faults.counts


@pytest.mark.parametrize(
    ("event", "kind", "name"),
    [
        (quote(q="x"), "quotes", "q"),
        (trade(c=12), "trades", "c"),
        (trade(c=["x"]), "trades", "c"),
        (trade(c=[300]), "trades", "c"),
        (trade(x=70_000), "trades", "x"),
        (trade(ds="lots"), "trades", "ds"),
        (trade(q=-1), "trades", "q"),
        (quote(i=604), "quotes", "i"),
        (quote(c=[1]), "quotes", "c"),
        (bar(dv={}), "bars", "dv"),
    ],
)
def test_an_odd_optional_field_costs_that_field_only(event: Any, kind: Kind, name: str) -> None:
    events = decode(frame(event))
    assert len(symbols(events, kind)) == 1
    assert events.faults.counts == {f"odd field {name} of event {event['ev']}": 1}


def test_null_is_as_good_as_absent() -> None:
    data = (
        frame(trade()).replace(b'"c":[12,37]', b'"c":null').replace(b'"trfi":202', b'"trfi":null')
    )
    events = decode(data)
    assert len(symbols(events, "trades")) == 1
    assert not events.faults.counts


def test_an_object_in_place_of_the_array_is_taken() -> None:
    assert len(decode(json.dumps(trade()).encode())) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"5",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b"[1e400]",
    ],
    ids=["empty", "null", "number", "text", "bytes", "arrays", "braces", "nested", "huge"],
)
def test_a_frame_of_nonsense_is_counted(data: bytes) -> None:
    events = decode(data, frame(trade()))
    assert len(events) == 1
    assert events.faults.counts


def test_the_good_elements_of_a_broken_frame_are_kept() -> None:
    good = frame(trade(number=1), trade(number=2, zz={"new": [1, {"deep": 2}["deep"]]}), quote())
    events = decode(good[:-1] + b',{"ev":"T","sym":"A"')
    assert len(symbols(events, "trades")) == 2
    assert len(symbols(events, "quotes")) == 1
    assert events.faults.counts["frame that is no JSON"] == 1


EVENTS = st.lists(
    st.one_of(
        st.builds(trade, st.sampled_from(["AAPL", "BRK.B", "BCpC"]), st.integers(1, 999)),
        st.builds(quote, st.sampled_from(["AAPL", "BRK.B", "BCpC"]), st.integers(1, 999)),
        st.builds(bar, st.sampled_from(["AAPL", "BRK.B", "BCpC"]), st.integers(1, 999)),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("byte", [b"0", b'"', b"n", b"{", b"]", b"\xff"])
def test_elements_are_kept_whatever_stands_before_them(byte: bytes) -> None:
    assert len(decode(byte + frame(trade(number=1), trade(number=2))[1:])) == 2


@given(EVENTS, st.data())
def test_a_cut_costs_only_what_is_behind_it(events: list[Any], data: Any) -> None:
    pieces = [frame(event)[1:-1] for event in events]
    kept = data.draw(st.integers(0, len(pieces) - 1))
    part = data.draw(st.integers(0, len(pieces[kept]) - 1))
    cut = b"[" + b",".join([*pieces[:kept], pieces[kept][:part]])
    assert len(decode(cut)) == kept


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    events = decode(data)
    assert events.table("trades") is None
    assert not len(events)
