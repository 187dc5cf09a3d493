"""A store with bars and ticks, and an engine that writes down what it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

import tsstore
from tsstore import Schema
from tsstore.sql import SqlDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tsstore.columns import Columns
    from tsstore.sql import SqlResult

#: 2013-10-08 13:30:00 UTC.
T0 = 1_381_239_000
NS = 1_000_000_000
ROWS = 1000
SYMBOLS = ("AAPL", "AMZN", "MSFT")
TICKS = Schema.of({"Price": "f8", "Size": "i4"}, variable=True)
QUOTES = Schema.of({"Bid": "f8", "Ask": "f8"}, variable=True)


class Read(NamedTuple):
    """One call that reads rows."""

    key: str
    start_ns: int
    end_ns: int
    columns: list[str]


class Recorder:
    """The store's engine, with a list of what was read."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.reads: list[Read] = []

    def keys(self) -> list[str]:
        return self._engine.keys()

    def schema(self, key: str) -> Schema:
        return self._engine.schema(key)

    def scan(self, key: str, start_ns: int, end_ns: int, **options: Any) -> Columns:
        self.reads.append(Read(key, start_ns, end_ns, list(options["columns"])))
        return self._engine.scan(key, start_ns, end_ns, **options)

    def slices(
        self, key: str, start_ns: int, end_ns: int, rows: int, columns: Sequence[str] | None = None
    ) -> Iterator[Columns]:
        self.reads.append(Read(key, start_ns, end_ns, list(columns or ())))
        return self._engine.slices(key, start_ns, end_ns, rows, columns)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tsstore.Store]:
    """Three symbols with 1000 minute bars, and trades and quotes of AAPL with nanoseconds."""
    numbers = np.arange(ROWS)
    with tsstore.open(tmp_path_factory.mktemp("store")) as store:
        for index, symbol in enumerate(SYMBOLS):
            close = numbers + 1000.0 * index
            bars = {
                "Epoch": T0 + 60 * numbers,
                "Open": close - 0.5, "High": close + 1, "Low": close - 1, "Close": close,
                "Volume": numbers,
            }  # fmt: skip
            store.write(f"{symbol}/1Min/OHLCV", bars)
        ticks = np.array([10, 10, 20, 35, 40])
        trades = {
            "Epoch": (T0 * NS + ticks).astype("M8[ns]"),
            "Price": [1.0, 2.0, 3.0, 4.0, 5.0],
            "Size": [1, 2, 3, 4, 5],
        }
        store.write("AAPL/1Sec/TRADE", trades, schema=TICKS)
        quoted = (T0 * NS + np.array([5, 19, 20, 36])).astype("M8[ns]")
        quotes = {"Epoch": quoted, "Bid": [9.0, 9.1, 9.2, 9.3], "Ask": [9.5, 9.6, 9.7, 9.8]}
        store.write("AAPL/1Sec/QUOTE", quotes, schema=QUOTES)
        yield store


@pytest.fixture
def recorder(filled: tsstore.Store) -> Recorder:
    return Recorder(filled.engine)


@pytest.fixture
def database(recorder: Recorder) -> Iterator[SqlDatabase]:
    database = SqlDatabase(recorder, "UTC")
    yield database
    database.close()


@pytest.fixture(scope="module")
def rows(filled: tsstore.Store) -> Callable[..., list[tuple[Any, ...]]]:
    """The rows of a statement as tuples."""

    def rows(statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        found: SqlResult = filled.sql(statement, parameters)
        return found.rows()

    return rows
