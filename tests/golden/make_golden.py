"""Writes the golden directory of the current format, once per format version.

    python tests/golden/make_golden.py tests/golden/v1

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


def write(store: tsstore.Store) -> None:
    """Everything the format has: own and shared segments, deletes, constants, a log."""
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


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if target.exists():
        sys.exit(f"{target} is there already, and golden directories are never written again")
    with tsstore.open(target) as opened:
        write(opened)
    (target / "LOCK").unlink()
