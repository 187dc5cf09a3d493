"""Flat files as columns of a bucket's schema, some hundred thousand rows at a time.

Columns are found by their names in the header: their order differs from documentation, newer files
have more of them, and other markets fewer. Numbers are read as floats, since newer files write 50
shares as `50.000000`; ids and times need all their digits and are read as whole numbers. Lists
(`"12,37"`) are read once for each different cell. A row that cannot be right is left out and
counted; a file that is no CSV of numbers is refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tsstore.errors import ConfigError
from tsstore_massive.decoding.identity import Numbering
from tsstore_massive.decoding.rows import CODES_MAX
from tsstore_massive.flatfiles.cells import ids, numbers, whole
from tsstore_massive.flatfiles.errors import BadFileError
from tsstore_massive.flatfiles.header import NEEDED, read_header, reading, time_name
from tsstore_massive.flatfiles.inflate import open_gzip
from tsstore_massive.flatfiles.lines import TICKERS_MAX, LinesOf
from tsstore_massive.symbols import bucket_symbol
from tsstore_massive.texts import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from numpy.typing import NDArray

    from tsstore_massive.flatfiles.catalogue import FlatSet, Rows
    from tsstore_massive.flatfiles.selection import Selection

#: The reader works ahead some dozens of these; 8 MiB take 200 MB more and no less time.
_BLOCK_BYTES = 2 << 20
_NUMBER_MAX = 1e15
_OTHER_DAY = "row with a time of another day"
_LACKING = "row without what it needs"

#: Columns that may be absent, as may their cells, and what then stands there.
_OPTIONAL: Mapping[Rows, Mapping[str, tuple[str, float]]] = {
    "bars": {
        "Volume": ("volume", 0.0),
        "VWAP": ("vwap", np.nan),
        "TradeCount": ("transactions", np.nan),
    },
    "trades": {
        "Size": ("size", 0.0),
        "Exchange": ("exchange", 0.0),
        "TapeID": ("tape", 0.0),
        "Correction": ("correction", 0.0),
        "TRF": ("trf_id", 0.0),
    },
    "quotes": {
        "BidPrice": ("bid_price", 0.0),
        "AskPrice": ("ask_price", 0.0),
        "BidSize": ("bid_size", 0.0),
        "AskSize": ("ask_size", 0.0),
        "BidExchange": ("bid_exchange", 0.0),
        "AskExchange": ("ask_exchange", 0.0),
        "TapeID": ("tape", 0.0),
    },
    "values": {},
}
#: What tells ticks apart, where the other sources of the market tell it too.
_NUMBERS = frozenset({"sequence_number", "id"})
_TEXTS = ("ticker", "conditions", "indicators")
_WHOLE = ("window_start", "sip_timestamp", "participant_timestamp", "timestamp", "sequence_number")


@dataclass(frozen=True)
class Batch:
    """Some rows of a file, in its order.

    Attributes:
        symbols: of the buckets.
        codes: the place in `symbols` of each row's, shape (rows,), int32.
        ts: int64 nanoseconds since 1970 UTC, shape (rows,).
        columns: of the schema, each of shape (rows,).
    """

    symbols: list[str]
    codes: NDArray[np.int32]
    ts: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.ts)

    def taken(self, which: NDArray[Any]) -> Batch:
        """The rows of a mask, or of positions in their order."""
        columns = {name: array[which] for name, array in self.columns.items()}
        return Batch(self.symbols, self.codes[which], self.ts[which], columns)


class FlatFile:
    """A file of a data set on this machine.

    Args:
        path: where it lies.
        flat: what it is of.
        day: of its name.
        selection: the tickers that are wanted.

    Attributes:
        faults: rows that were left out, and what else was odd, by what was wrong.

    Raises:
        BadFileError: it is no such file.
        StorageError: the system refuses to read it.
        ConfigError: the package that reads CSV is not installed.
    """

    def __init__(self, path: Path, flat: FlatSet, day: date, selection: Selection) -> None:
        self.faults: Counter[str] = Counter()
        self._csv = _arrow_csv()
        self._path = path
        self._rows = flat.rows
        self._schema = flat.schema
        self._selection = selection
        self._numbering = Numbering()
        # Nobody quotes a stock below zero; an index may be a spread.
        self._least = -_NUMBER_MAX if flat.market == "indices" else 0.0
        self._unread = frozenset[str]() if flat.is_numbered else _NUMBERS
        self._first_ns, self._end_ns = flat.times(day)
        self._header = read_header(path, flat.rows)
        self._time = time_name(self._header, flat.rows)

    def batches(self) -> Iterator[Batch]:
        """The wanted rows.

        Raises:
            BadFileError: the file is damaged, a cell is no number, or at the end, that most rows
                are of another day.
            StorageError: the system refuses to read it.
        """
        self._numbering = Numbering()
        rows = 0
        with (
            reading(self._path),
            open_gzip(self._path) as file,
            self._open(self._lines(file)) as reader,
        ):
            for table in reader:
                batch = self._batch(table)
                rows += len(batch)
                if len(batch):
                    yield batch
        others = self.faults[_OTHER_DAY]
        if others > rows + self.faults[_LACKING]:
            told = counted(others, "row is", "rows are")
            raise BadFileError(
                f"{self._path} is no file of the day of its name: {told} of another day"
            )

    def _lines(self, file: BinaryIO) -> BinaryIO | LinesOf:
        """The file, or what there is in it of a few tickers."""
        few = self._selection.is_exact and len(self._selection.names) <= TICKERS_MAX
        if not few or self._header[0] != "ticker":
            return file
        return LinesOf(file, self._selection.names)

    def _open(self, file: Any) -> Any:
        import pyarrow as pa

        known = {"ticker", self._time, *NEEDED[self._rows].values()}
        known |= {name for name, _ in _OPTIONAL[self._rows].values()}
        if self._rows in ("trades", "quotes"):
            known |= {"conditions", "indicators", "participant_timestamp", *_NUMBERS}
        wanted = [name for name in self._header if name in known - self._unread]
        coded = pa.dictionary(pa.int32(), pa.string())
        special = {"id": pa.string(), **dict.fromkeys(_TEXTS, coded)}
        types = {
            name: special.get(name, pa.int64() if name in _WHOLE else pa.float64())
            for name in wanted
        }
        return self._csv.open_csv(
            file,
            read_options=self._csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=self._csv.ParseOptions(invalid_row_handler=self._skip),
            convert_options=self._csv.ConvertOptions(
                column_types=types, include_columns=wanted, strings_can_be_null=False
            ),
        )

    def _skip(self, _: Any) -> str:
        self.faults["row with too many or too few cells"] += 1
        return "skip"

    def _batch(self, table: Any) -> Batch:
        tickers = table["ticker"]
        names = tickers.dictionary.to_pylist()
        symbols = [self._symbol(name) for name in names]
        codes = tickers.indices.to_numpy()
        if None in symbols:
            keep = np.array([symbol is not None for symbol in symbols], np.bool_)[codes]
            for name in (n for n, s in zip(names, symbols, strict=True) if s is None):
                if name in self._selection:
                    count = int(np.count_nonzero(codes == names.index(name)))
                    self.faults["row whose ticker cannot be a bucket"] += count
            table, codes = table.filter(_mask(keep)), codes[keep]
        columns, usable = self._columns(table)
        ts = whole(table[self._time])
        columns = self._numbering.named(
            self._rows, ts, columns, lambda rows: [names[code] for code in codes[rows].tolist()]
        )
        in_time = (ts >= self._first_ns) & (ts < self._end_ns)
        self._count(_OTHER_DAY, ~in_time)
        self._count(_LACKING, in_time & ~usable)
        batch = Batch([symbol or "" for symbol in symbols], codes, ts, columns)
        good = in_time & usable
        return batch if good.all() else batch.taken(good)

    def _symbol(self, ticker: str) -> str | None:
        return bucket_symbol(ticker) if ticker in self._selection else None

    def _columns(self, table: Any) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """Columns of the schema, and which rows have all they need."""
        usable = np.ones(table.num_rows, np.bool_)
        found: dict[str, NDArray[Any]] = {}
        for name, header in NEEDED[self._rows].items():
            found[name] = numbers(table[header])
            usable &= (found[name] >= self._least) & (found[name] <= _NUMBER_MAX)
        for name, (header, absent) in _OPTIONAL[self._rows].items():
            found[name] = self._optional(table, header, absent, self._schema.dtypes[name])
        if self._rows == "trades":
            found |= self._trade_columns(table)
        elif self._rows == "quotes":
            found |= self._quote_columns(table)
        if self._rows in ("trades", "quotes"):
            found["Sequence"] = self._whole_or_zero(table, "sequence_number")
            found["ParticipantNs"] = self._whole_or_zero(table, "participant_timestamp")
        columns = {
            name: found[name].astype(dtype, copy=False)
            for name, dtype in self._schema.dtypes.items()
        }
        return columns, usable

    def _optional(
        self, table: Any, header: str, absent: float, dtype: np.dtype[Any]
    ) -> NDArray[np.float64]:
        if header not in self._header:
            return np.full(table.num_rows, absent)
        values = numbers(table[header])
        most = _NUMBER_MAX if dtype.kind == "f" else float(np.iinfo(dtype).max)
        with np.errstate(invalid="ignore"):
            good = (values >= 0) & (values <= most)
        self._count(f"odd {header}", ~good & ~np.isnan(values))
        return values if good.all() else np.where(good, values, absent)

    def _trade_columns(self, table: Any) -> dict[str, NDArray[Any]]:
        sets = self._sets(table, "conditions", CODES_MAX, 255)
        columns: dict[str, NDArray[Any]] = {f"Cond{n + 1}": sets[:, n] for n in range(CODES_MAX)}
        columns["TradeID"] = (
            ids(table["id"]) if self._has("id") else np.zeros(table.num_rows, np.int64)
        )
        return columns

    def _quote_columns(self, table: Any) -> dict[str, NDArray[Any]]:
        return {
            "Condition": self._sets(table, "conditions", 1, 255)[:, 0],
            "Indicator": self._sets(table, "indicators", 1, 65_535)[:, 0],
        }

    def _sets(self, table: Any, header: str, width: int, most: int) -> NDArray[np.int64]:
        """The first numbers of the lists in the cells of a column, shape (rows, width)."""
        if header not in self._header:
            return np.zeros((table.num_rows, width), np.int64)
        cells = table[header].dictionary.to_pylist()
        lists = np.zeros((max(len(cells), 1), width), np.int64)
        longer = np.zeros(max(len(cells), 1), np.bool_)
        for row, cell in enumerate(cells):
            parts = [int(part) for part in cell.split(",") if part.strip().isdecimal()]
            fitting = [part for part in parts if part <= most]
            lists[row, : len(fitting[:width])] = fitting[:width]
            longer[row] = len(fitting) > width > 1
        codes = table[header].indices.to_numpy()
        self._count("trade with more than four conditions", longer[codes])
        return np.asarray(lists[codes])

    def _whole_or_zero(self, table: Any, header: str) -> NDArray[np.int64]:
        if not self._has(header):
            return np.zeros(table.num_rows, np.int64)
        return np.maximum(whole(table[header]), 0)

    def _has(self, header: str) -> bool:
        return header in self._header and header not in self._unread

    def _count(self, what: str, which: NDArray[np.bool_]) -> None:
        count = int(np.count_nonzero(which))
        if count:
            self.faults[what] += count


def _mask(keep: NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.array(keep)


def _arrow_csv() -> Any:
    try:
        from pyarrow import csv
    except ImportError:
        raise ConfigError(
            "flat files need the package pyarrow; run: pip install 'tsstore[massive]'"
        ) from None
    return csv
