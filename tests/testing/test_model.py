"""The model store: the rules of buckets, each shown once."""

from __future__ import annotations

import numpy as np
import pytest

from tsstore.api import Replace, Write, WriteTable
from tsstore.errors import (
    AlreadyExistsError,
    ClosedError,
    InvalidArgumentError,
    InvalidKeyError,
    NotFoundError,
    SchemaMismatchError,
)
from tsstore.schema import Schema
from tsstore.testing.model import ModelStore

T0 = 1_381_239_000
NS = T0 * 10**9
KEY = "AAPL/1Min/OHLCV"
TRADES = Schema.of({"Price": "f8", "Id": "i8"}, variable=True, identity=["Id"])


@pytest.fixture
def store():
    with ModelStore() as store:
        yield store


def rows(*pairs, name="Price"):
    """Rows of (seconds after T0, value)."""
    epochs, values = zip(*pairs, strict=True) if pairs else ((), ())
    return {"Epoch": [T0 + epoch for epoch in epochs], name: np.array(values, float)}


def events(*triples):
    """Rows of (nanoseconds after T0, price, id)."""
    ts, prices, ids = zip(*triples, strict=True)
    times = (NS + np.array(ts, np.int64)).view("M8[ns]")
    return {"Epoch": times, "Price": np.array(prices, float), "Id": np.array(ids)}


def prices(store, key=KEY, **options):
    return store.read(key, **options)["Price"].tolist()


def test_a_fixed_bucket_keeps_the_last_row_of_a_slot(store):
    store.write(KEY, rows((0, 1), (60, 2), (59, 3)))
    store.write(KEY, rows((61, 4)))

    assert prices(store) == [3, 4]
    assert store.read(KEY)["Epoch"].tolist() == [T0, T0 + 60]


def test_slots_of_days_are_of_the_stores_zone():
    store = ModelStore("America/New_York")

    store.write("A/1D/X", rows((0, 1)))

    assert store.read("A/1D/X")["Epoch"].tolist() == [1_381_204_800]


def test_a_variable_bucket_keeps_every_row_in_the_order_written(store):
    store.write("A/1Sec/T", rows((5, 1), (0, 2), (5, 3)), variable=True)
    store.write("A/1Sec/T", rows((5, 4), (0, 5)))

    assert prices(store, "A/1Sec/T") == [2, 5, 1, 3, 4]


def test_nanoseconds_are_time_in_a_variable_bucket(store):
    store.write("A/1Sec/T", {**rows((0, 1)), "Nanoseconds": [7]}, variable=True)

    assert store.read("A/1Sec/T").ts.tolist() == [NS + 7]
    assert store.info("A/1Sec/T").schema.names == ("Price",)


def test_an_event_sent_again_is_one_row(store):
    store.write("A/1Sec/T", events((0, 1, 7), (0, 2, 8)), schema=TRADES)
    store.write("A/1Sec/T", events((0, 3, 7)))

    assert prices(store, "A/1Sec/T") == [3, 2]


def test_equal_identities_in_different_milliseconds_are_two_events(store):
    store.write("A/1Sec/T", events((0, 1, 7), (1_000_000, 2, 7)), schema=TRADES)

    assert prices(store, "A/1Sec/T") == [1, 2]


@pytest.mark.parametrize("order", [[5_000_123, 5_000_000], [5_000_000, 5_000_123]])
def test_of_one_event_the_finer_time_stays(store, order):
    for ns in order:
        store.write("A/1Sec/T", events((ns, ns, 7)), schema=TRADES)

    assert store.read("A/1Sec/T").ts.tolist() == [NS + 5_000_123]


def test_events_of_one_instant_are_in_order_of_identity(store):
    store.write("A/1Sec/T", events((0, 1, 9), (0, 2, 3), (0, 3, 5)), schema=TRADES)

    assert store.read("A/1Sec/T")["Id"].tolist() == [3, 5, 9]


def test_replace_deletes_the_range_and_writes(store):
    store.write(KEY, rows((0, 1), (60, 2), (120, 3), (180, 4)))

    store.replace(KEY, T0 + 60, T0 + 120, rows((120, 9)))

    assert prices(store) == [1, 9, 4]


def test_replace_deletes_every_slot_the_range_touches(store):
    store.write(KEY, rows((0, 1), (60, 2), (120, 3)))

    store.replace(KEY, T0 + 90, T0 + 90, rows((119, 9)))

    assert prices(store) == [1, 9, 3]


@pytest.mark.parametrize("seconds", [59, 120, 300])
def test_a_row_outside_of_the_replaced_range_is_refused(store, seconds):
    store.write(KEY, rows((0, 1), (60, 2), (120, 3)))

    with pytest.raises(InvalidArgumentError, match="outside of the range to replace"):
        store.replace(KEY, T0 + 60, T0 + 90, rows((60, 8), (seconds, 9)))

    assert prices(store) == [1, 2, 3]


def test_replace_is_exact_in_a_variable_bucket(store):
    store.write("A/1Min/T", rows((0, 1), (1, 2), (2, 3)), variable=True)

    store.replace("A/1Min/T", T0 + 1, T0 + 1, rows((1, 4), (1, 5)))

    assert prices(store, "A/1Min/T") == [1, 4, 5, 3]
    with pytest.raises(InvalidArgumentError, match="outside of the range to replace"):
        store.replace("A/1Min/T", T0 + 1, T0 + 1, rows((2, 4)))


def test_replace_makes_a_bucket_that_is_not_there(store):
    store.replace(KEY, T0, T0, rows((0, 1)))

    assert prices(store) == [1]


def test_a_cross_section_goes_to_the_bucket_of_each_symbol(store):
    written = store.write_table(
        "1Min/OHLCV", {**rows((0, 1), (0, 2), (60, 3)), "Symbol": ["B", "A", "B"]}
    )

    assert written == 3
    assert store.list() == ["A/1Min/OHLCV", "B/1Min/OHLCV"]
    assert prices(store, "B/1Min/OHLCV") == [1, 3]


def test_write_many_writes_all_or_nothing(store):
    store.write(KEY, rows((0, 1)))

    with pytest.raises(SchemaMismatchError, match="MSFT/1Min/OHLCV: unable to match data columns"):
        store.write_many(
            {
                KEY: rows((0, 2)),
                "MSFT/1Min/OHLCV": rows((0, 1)),
                "MSFT/1Min/OHLCV:Symbol/Timeframe/AttributeGroup": rows((0, 1), name="Other"),
            }
        )

    assert prices(store) == [1]
    assert store.list() == [KEY]


def test_a_commit_carries_out_operations_in_order(store):
    rows_written = store.commit(
        [
            Write(KEY, rows((0, 1), (60, 2))),
            Replace(KEY, T0, T0 + 600, rows((120, 3))),
            WriteTable("1Min/OHLCV", {**rows((180, 4)), "Symbol": ["AAPL"]}),
        ]
    )

    assert rows_written == 4
    assert prices(store) == [3, 4]


def test_no_rows_make_no_bucket(store):
    assert store.write(KEY, rows()) == 0
    assert store.list() == []


def test_a_created_bucket_has_no_rows(store):
    store.create(KEY, Schema.of({"Price": "f8"}))

    assert prices(store) == []
    assert store.info(KEY).first_ns is None
    with pytest.raises(AlreadyExistsError):
        store.create(KEY, Schema.of({"Price": "f8"}))


def test_a_destroyed_bucket_is_gone(store):
    store.write(KEY, rows((0, 1)))

    store.destroy(KEY)

    assert store.list() == []
    for call in (store.destroy, store.info, store.read):
        with pytest.raises(NotFoundError):
            call(KEY)


def test_info_tells_the_first_and_last_instant(store):
    store.write(KEY, rows((60, 1), (0, 1)))

    info = store.info(KEY)

    assert (info.key, info.first_ns, info.last_ns, info.rows) == (KEY, NS, NS + 60 * 10**9, 2)


def test_list_takes_a_pattern(store):
    for key in ("A/1Min/OHLCV", "B/1Min/OHLCV", "A/1Sec/TRADE"):
        store.write(key, rows((0, 1)))

    assert store.list("A/*/*") == ["A/1Min/OHLCV", "A/1Sec/TRADE"]


def test_what_was_read_stays_as_it_was(store):
    store.write(KEY, rows((0, 1)))
    before = store.read(KEY)

    store.write(KEY, rows((0, 2)))

    assert before["Price"].tolist() == [1]


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (Write("AAPL", rows((0, 1))), InvalidKeyError),
        (Write(KEY, {"Price": [1.0]}), InvalidArgumentError),
        (WriteTable("1Min/OHLCV", {**rows((0, 1)), "Symbol": ["a/b"]}), InvalidKeyError),
        (WriteTable("1Min/OHLCV", rows((0, 1))), InvalidArgumentError),
        (Replace(KEY, T0 + 1, T0, rows((0, 1))), InvalidArgumentError),
        (Write(KEY, {**rows((0, 1)), "Nanoseconds": [0.5]}), InvalidArgumentError),
    ],
)
def test_an_operation_that_cannot_be_is_refused(store, operation, error):
    with pytest.raises(error):
        store.commit([Write("B/1Min/OHLCV", rows((0, 1))), operation])

    assert store.list() == []


def test_a_closed_store_does_nothing(store):
    store.write(KEY, rows((0, 1)))
    store.close()

    for call in (store.read, store.info, store.destroy):
        with pytest.raises(ClosedError):
            call(KEY)
    with pytest.raises(ClosedError):
        store.write(KEY, rows((0, 1)))
    with pytest.raises(ClosedError):
        store.list()
