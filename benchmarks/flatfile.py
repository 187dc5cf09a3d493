"""Minute bars in the layout of the vendor's flat files: csv.gz, one day, sorted by ticker."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from benchmarks.data import BARS, DAY_MINUTES, NS_PER_MINUTE, SEED, Rows, bars, names, regular_hours

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.data import Kind

_NAMES = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}


def write_flat_file(path: Path, tickers: int, rows: int, *, day: int) -> tuple[int, float]:
    """A day on which busy tickers have a bar in each minute and quiet ones in a few.

    Args:
        path: ends with .csv.gz.
        tickers: how many.
        rows: about how many in all.
        day: number of the weekday.

    Returns:
        How many rows it has, and the sum of the column `open`.
    """
    random = np.random.default_rng([SEED, day])
    minutes = regular_hours(day, 1, NS_PER_MINUTE)
    share = rows / tickers / DAY_MINUTES
    shares = random.beta(0.6, 0.6 * (1 - share) / share, tickers)
    counts = np.maximum(1, shares * DAY_MINUTES).astype(int).tolist()
    frame = pl.concat(
        _frame(bars(ticker, minutes[np.sort(random.permutation(DAY_MINUTES)[:count])]))
        for ticker, count in zip(names(tickers), counts, strict=True)
    )
    frame.write_csv(path, compression="gzip")
    return len(frame), float(frame["open"].sum())


def read_flat_file(path: Path) -> list[Rows]:
    """The rows of each ticker of such a file, read by polars."""
    columns = {lower: name for name, lower in _NAMES.items()}
    frame = pl.read_csv(path).rename({"window_start": "ts", **columns})
    return rows_by_ticker(frame, BARS)


def rows_by_ticker(frame: pl.DataFrame, kind: Kind) -> list[Rows]:
    """The rows of each ticker.

    Args:
        frame: sorted by the column `ticker`, with `ts` in nanoseconds and the columns of the kind.
        kind: of the rows.
    """
    runs = frame["ticker"].rle().struct.unnest()
    columns = {name: frame[name].to_numpy().astype(code) for name, code in kind.columns.items()}
    rows = Rows(frame["ticker"].to_list(), frame["ts"].to_numpy(), columns)
    after = runs["len"].cum_sum().to_list()
    return [rows.part(first, end) for first, end in pairwise([0, *after])]


def _frame(rows: Rows) -> pl.DataFrame:
    volume = rows.columns["Volume"].astype(np.int64)
    return pl.DataFrame(
        {
            "ticker": rows.symbols,
            "volume": volume,
            **{_NAMES[name]: rows.columns[name] for name in ("Open", "Close", "High", "Low")},
            "window_start": rows.ts,
            "transactions": volume // 120 + 1,
        }
    )
