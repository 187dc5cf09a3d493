"""Rows as the vendor tells them: trades and quotes with all columns, and real data in files.

Made-up ones follow a day of a liquid stock: times in bursts, prices in cents, sizes in round lots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from benchmarks.data import BARS, DAY_MINUTES, NS_PER_MINUTE, OPENING, SEED, Kind, Rows, walk
from benchmarks.flatfile import rows_by_ticker
from tsstore_massive.schemas import QUOTES as QUOTES_SCHEMA
from tsstore_massive.schemas import TRADES as TRADES_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def _codes(dtypes: Mapping[str, np.dtype[Any]]) -> dict[str, str]:
    """Type codes of columns."""
    return {name: dtype.str[1:] for name, dtype in dtypes.items()}


TRADES = Kind("1Sec/TRADE", _codes(TRADES_SCHEMA.dtypes), variable=True)
QUOTES = Kind("1Min/QUOTE", _codes(QUOTES_SCHEMA.dtypes), variable=True)
_BARS = {name: name.lower() for name in BARS.columns}
_TRADES = {
    "Price": "price",
    "Size": "size",
    "Exchange": "exchange",
    "TapeID": "tape",
    "Correction": "correction",
    "TRF": "trf_id",
    "TradeID": "id",
    "Sequence": "sequence_number",
    "ParticipantNs": "participant_timestamp",
}
_QUOTES = {
    "BidPrice": "bid_price",
    "AskPrice": "ask_price",
    "BidSize": "bid_size",
    "AskSize": "ask_size",
    "BidExchange": "bid_exchange",
    "AskExchange": "ask_exchange",
    "Condition": "conditions",
    "Indicator": "indicators",
    "TapeID": "tape",
    "Sequence": "sequence_number",
    "ParticipantNs": "participant_timestamp",
}
_CONDITIONS = ("Cond1", "Cond2", "Cond3", "Cond4")
_EXCHANGES = np.array([4, 11, 12, 19], np.uint16)
_SHARES = (0.4, 0.3, 0.2, 0.1)


def trades(symbol: str, count: int) -> Rows:
    """Trades of one symbol over a day, with all columns of the vendor's."""
    random = np.random.default_rng([SEED, *symbol.encode()])
    ts = _moments(random, count)
    sequence = np.cumsum(random.integers(1, 40, count))
    columns = {name: np.zeros(count, code) for name, code in TRADES.columns.items()} | {
        "Price": walk(random, count, 1) / 100,
        "Size": _round_lots(random, count),
        "Exchange": random.choice(_EXCHANGES, count, p=_SHARES),
        "TapeID": np.ones(count, np.uint8),
        "Cond1": random.choice(np.array([0, 14, 37, 41], np.uint8), count, p=_SHARES),
        "TradeID": np.cumsum(random.integers(1, 3, count)),
        "Sequence": sequence,
        "ParticipantNs": ts - random.integers(200_000, 900_000, count),
    }
    return Rows([symbol] * count, ts, columns)


def quotes(symbol: str, count: int) -> Rows:
    """Quotes of one symbol over a day, with all columns of the vendor's."""
    random = np.random.default_rng([SEED, *symbol.encode()])
    ts = _moments(random, count)
    bid = walk(random, count, 1)
    columns = {name: np.zeros(count, code) for name, code in QUOTES.columns.items()} | {
        "BidPrice": bid / 100,
        "AskPrice": (bid + random.integers(1, 4, count)) / 100,
        "BidSize": _round_lots(random, count),
        "AskSize": _round_lots(random, count),
        "BidExchange": random.choice(_EXCHANGES, count, p=_SHARES),
        "AskExchange": random.choice(_EXCHANGES, count, p=_SHARES),
        "Condition": np.ones(count, np.uint8),
        "TapeID": np.ones(count, np.uint8),
        "Sequence": np.cumsum(random.integers(1, 60, count)),
        "ParticipantNs": ts - random.integers(200_000, 900_000, count),
    }
    return Rows([symbol] * count, ts, columns)


def real_bars(folder: Path) -> list[Rows]:
    """Minute bars of each ticker, over all days there are."""
    return _split(_read(folder, "minute_aggs_v1").rename({"window_start": "ts"}), BARS, _BARS)


def real_trades(folder: Path) -> list[Rows]:
    """Trades of each ticker, over all days there are."""
    frame = _read(folder, "trades_v1").rename({"sip_timestamp": "ts"})
    codes = pl.col("conditions").str.split(",").list
    conditions = [codes.get(n, null_on_oob=True).alias(name) for n, name in enumerate(_CONDITIONS)]
    names = dict(zip(_CONDITIONS, _CONDITIONS, strict=True))
    return _split(frame.with_columns(conditions), TRADES, _TRADES | names)


def real_quotes(folder: Path) -> list[Rows]:
    """Quotes of each ticker, over all days there are."""
    return _split(_read(folder, "quotes_v1").rename({"sip_timestamp": "ts"}), QUOTES, _QUOTES)


def _read(folder: Path, dataset: str) -> pl.DataFrame:
    files = sorted(folder.glob(f"**/{dataset}/**/*.csv.gz"))
    if not files:
        raise FileNotFoundError(f"{folder} has no {dataset}; name the folder of the flat files")
    return pl.concat(pl.read_csv(file, infer_schema=False) for file in files)


def _split(frame: pl.DataFrame, kind: Kind, names: dict[str, str]) -> list[Rows]:
    """Text columns as rows; what is not there is 0."""
    columns = [
        pl.col(names[name]).cast(pl.Float64).fill_null(0).alias(name)
        if code == "f8"
        else pl.col(names[name]).cast(pl.Int64).fill_null(0).alias(name)
        for name, code in kind.columns.items()
    ]
    selected = frame.select("ticker", pl.col("ts").cast(pl.Int64), *columns)
    return rows_by_ticker(selected.sort("ticker", "ts", maintain_order=True), kind)


def _moments(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Times in bursts: the gaps between them spread over orders of magnitude."""
    gaps = random.lognormal(0, 2, count)
    day = DAY_MINUTES * NS_PER_MINUTE
    since = np.cumsum(gaps / gaps.sum() * (day - 2 * count)).astype(np.int64)
    ts: NDArray[np.int64] = int(OPENING.astype(np.int64)) + since + np.arange(count)
    return ts


def _round_lots(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    return (100 * random.geometric(0.4, count)).astype(np.float64)
