"""Writes the golden directory of the current format, once per format version.

    python tests/golden/make_golden.py tests/golden/v3

A directory that was written is never written again: later code must read what this code wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tsstore
from tsstore import Replace, Schema, Write

T0 = 1_381_239_000  # 2013-10-08 09:30 in New York

TRADES = Schema.of(
    {"Price": "f8", "Size": "f4", "Exchange": "u1", "Sequence": "i8", "Venue": "U4"},
    variable=True,
    identity=["Sequence"],
)


TEXTS = Schema.of({"Text": "U12", "Word": "U8", "Id": "U10", "Odd": "f8"}, variable=True)


def texts(count: int) -> dict[str, object]:
    numbers = np.arange(count)
    return {
        "Epoch": (T0 * 10**9 + numbers * 7).astype("M8[ns]"),
        "Text": np.array([f"{number * 7919 % 997:x}é{number}" for number in numbers], "U12"),
        "Word": np.array([f"word {number % 5}" for number in numbers], "U8"),
        "Id": np.array([str(10_000 + number * 3) for number in numbers], "U10"),
        "Odd": np.sqrt(numbers) * np.where(numbers % 100 == 7, -0.0, 1.0),
    }


def walk(count: int) -> dict[str, object]:
    """A price that wanders in cents, the same on every machine."""
    steps = np.cumsum(np.arange(count) ** 3 % 11 - 5)
    cents = 10_000 + steps[:, None] + np.arange(4 * count).reshape(-1, 4) ** 2 % 7
    opened, second, third, closed = (cents[:, column] / 100 for column in range(4))
    return {
        "Epoch": T0 + 60 * np.arange(count),
        "Open": opened,
        "High": np.maximum.reduce([opened, second, third, closed]),
        "Low": np.minimum.reduce([opened, second, third, closed]),
        "Close": closed,
        "Volume": (np.arange(count) * 7919 % 5003).astype("f8"),
    }


def trades(first: int, count: int) -> dict[str, object]:
    numbers = np.arange(first, first + count)
    return {
        "Epoch": (T0 * 10**9 + numbers * 1_000_003).astype("M8[ns]"),
        "Price": 100 + numbers * 0.01,
        "Size": (numbers % 7).astype("f4"),
        "Exchange": (numbers % 20).astype("u1"),
        "Sequence": numbers,
        "Venue": np.array([f"V{number % 3}" for number in numbers], "U4"),
    }


def bars(first: int, count: int) -> dict[str, object]:
    numbers = np.arange(first, first + count, dtype="f8")
    return {
        "Epoch": T0 + 60 * np.arange(first, first + count),
        "Close": np.where(numbers % 10 == 3, np.nan, numbers / 8),
        "Volume": numbers.astype("i4"),
        "Flag": numbers % 2 == 0,
    }


def write_v1(store: tsstore.Store) -> None:
    """Everything that version 1 has: own and shared segments, deletes, constants, a log."""
    store.write("LONG/1Min/OHLCV", bars(0, 9000))
    symbols = [f"S{number}" for number in range(20)]
    section = {"Symbol": symbols, "Epoch": np.full(20, T0), "Close": np.arange(20.0)}
    store.write_table("1D/OHLCV", section)
    store.commit([Write("BRK.B/1Sec/TRADE", trades(0, 300), TRADES)])
    store.create("EMPTY/1Min/QUOTE", Schema.of({"Bid": "f8"}))
    store.flush()
    last = T0 + 60 * 8999
    store.commit([Replace("LONG/1Min/OHLCV", T0 + 60 * 100, last, bars(200, 10))])
    store.destroy("S3/1D/OHLCV")
    store.flush()
    store.commit([Write("BRK.B/1Sec/TRADE", trades(290, 20), TRADES)])
    store.write("late/1Min/OHLCV", bars(5, 2))


def write_v2(store: tsstore.Store) -> None:
    """Everything that version 2 has besides: packed segments of all encodings, loads, masks."""
    write_v1(store)
    store.bulk({"LOAD/1Min/OHLCV": bars(0, 30_000), "WALL/1Min/OHLCV": bars(0, 10)})
    store.commit([Write("NOTE/1Sec/TEXT", texts(600), TEXTS)])
    store.write("WALK/1Min/OHLCV", walk(2_000))
    store.flush()
    store.compact()
    # Deleted from packed segments, in part and as a whole; in files and in the log.
    store.delete("LOAD/1Min/OHLCV", T0 + 60 * 50, T0 + 60 * 70)
    store.delete("WALL/1Min/OHLCV")
    store.rename("late/1Min/OHLCV", "LATER/1Min/OHLCV")
    store.copy("BRK.B/1Sec/TRADE", "COPY/1Sec/TRADE")
    store.flush()
    wider = {"Close": "f8", "Volume": "i8", "Flag": "b1", "VWAP": "f8", "Venue": "U4"}
    store.alter("LONG/1Min/OHLCV", Schema.of(wider))
    store.bulk({"LOAD/1Min/OHLCV": bars(29_000, 4_000)})
    store.delete("LOAD/1Min/OHLCV", T0 + 60 * 32_000)


def write_v3(store: tsstore.Store) -> None:
    """Everything that version 3 has besides: synthetic rows, packed, flat and in the log."""
    write_v2(store)
    made_up = Schema.of({"Close": "f8", "Volume": "i4", "Flag": "b1"}, synthetic=True)
    store.commit([Write("FAKE/1Min/OHLCV", bars(0, 2_000), made_up)])
    store.flush()
    store.compact("FAKE/*/*")
    store.commit([Write("FAKE/1Min/OHLCV", bars(1_990, 30), made_up)])
    store.flush()
    store.commit([Write("FAKE/1Min/OHLCV", bars(2_010, 30), made_up)])
    store.commit([Write("ALSO/1Min/OHLCV", bars(0, 3), made_up)])


WRITERS = {"v1": write_v1, "v2": write_v2, "v3": write_v3}

if __name__ == "__main__":
    target = Path(sys.argv[1])
    if target.exists():
        sys.exit(f"{target} is there already, and golden directories are never written again")
    settings = tsstore.Settings(compaction_bytes_per_s=0, bulk_bytes_min=0)
    with tsstore.open(target, timezone="America/New_York", settings=settings) as opened:
        WRITERS[target.name](opened)
    (target / "LOCK").unlink()
