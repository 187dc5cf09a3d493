"""Anything a user writes, as arrays: mappings, structured arrays, DataFrames, Arrow tables.

What `read_table` returns is neither sorted nor fitted to a bucket; `fit` does the latter. Arrays
may be views into the caller's memory: copy what has to outlive the call.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore import arrow
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError, SchemaMismatchError
from tsstore.schema import RecordKind, Schema, cast_column, type_name
from tsstore.shown import shown
from tsstore.times import array_to_ns
from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: Names of a time column that are understood besides `Epoch`, if they hold datetimes.
TIME_NAMES = ("ts", "Timestamp", "timestamp", "time", "datetime")

# Halves of characters, which no encoding takes, and what lies beyond the last character.
_SURROGATES = range(0xD800, 0xE000)
_UNICODE_END = 0x110000

_READY = frozenset(
    np.dtype(code) for code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "?")
)
_MARKETSTORE_NAMES = {
    "i1": "BYTE", "i2": "INT16", "i4": "INT32", "i8": "INT64", "u1": "UINT8", "u2": "UINT16",
    "u4": "UINT32", "u8": "UINT64", "f4": "FLOAT32", "f8": "FLOAT64", "b1": "BOOL",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as given by the caller.

    Attributes:
        ts: int64 nanoseconds since 1970 UTC, shape (rows,), in the order given; contains a
            `Nanoseconds` column beside whole seconds.
        arrays: the other columns, each of shape (rows,), contiguous and little-endian; holds
            `Nanoseconds` as it was given when `had_nanoseconds`.
        symbols: the column `Symbol` of a cross-section, or each symbol of it once; else None.
        codes: the place in `symbols` of each row's, shape (rows,), where they stand there once and
            all have rows; else None.
        had_nanoseconds: whether `ts` contains a `Nanoseconds` column; `fit` and `schema_of` settle
            whether it is a column of the bucket as well.
        is_rounded: whether numbers may become the nearest ones of a column of floats.
    """

    ts: NDArray[np.int64]
    arrays: dict[str, NDArray[Any]]
    symbols: list[str] | None = None
    had_nanoseconds: bool = False
    is_rounded: bool = False
    codes: NDArray[np.integer[Any]] | None = None

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def row_symbols(self) -> list[str] | None:
        """The symbol of each row of a cross-section, else None."""
        if self.symbols is None or self.codes is None:
            return self.symbols
        return [self.symbols[code] for code in self.codes.tolist()]


def read_table(data: Any, *, tz: str | None = None, with_symbol: bool = False) -> Table:
    """Rows from Columns, a mapping, a structured array, a DataFrame or an Arrow table.

    The time is the column `Epoch` (whole seconds since 1970, with an optional integer
    `Nanoseconds`; or datetimes of any unit), the DatetimeIndex of a pandas frame, or a datetime
    column named as in `TIME_NAMES`.

    Args:
        data: the rows.
        tz: zone of datetimes that carry none; UTC when absent.
        with_symbol: take the text column `Symbol` out as `symbols`.

    Raises:
        InvalidArgumentError: no time, a missing time, columns of different lengths or of more than
            one dimension, or values no column can hold. The text names the column and row.
    """
    if isinstance(data, Table) and (data.symbols is not None) is with_symbol:
        return data  # rows that another process read for us
    columns, aware = _gather(data)
    symbols = _take_symbols(columns) if with_symbol else None
    if isinstance(data, Columns):
        return Table(data.ts, columns, _same_length(symbols, len(data)))
    time_name = _time_name(columns)
    times = columns.pop(time_name)
    ts = array_to_ns(times, None if time_name in aware else tz)
    arrays = {name: _normalised(name, array) for name, array in columns.items()}
    for name, array in arrays.items():
        if len(array) != len(ts):
            raise InvalidArgumentError(
                f"column {name!r} has {len(array)} rows and {time_name!r} has {len(ts)}; "
                "all columns need the same length"
            )
    symbols = _same_length(symbols, len(ts))
    nanoseconds = arrays.get("Nanoseconds")
    if nanoseconds is None or (times.dtype.kind not in "iuf" and (ts % NS_PER_SECOND).any()):
        return Table(ts, arrays, symbols)
    return Table(_plus(ts, nanoseconds), arrays, symbols, had_nanoseconds=True)


def schema_of(table: Table, *, variable: bool) -> Schema:
    """The schema a new bucket gets from these rows.

    In a variable bucket `Nanoseconds` is part of the time and no column; in a fixed one it is an
    ordinary column.
    """
    kind = RecordKind.VARIABLE if variable else RecordKind.FIXED
    pairs = ((name, array.dtype) for name, array in table.arrays.items())
    if variable and table.had_nanoseconds:
        pairs = ((name, dtype) for name, dtype in pairs if name != "Nanoseconds")
    return Schema(tuple(pairs), kind)


def fit(table: Table, schema: Schema, *, where: str) -> Table:
    """The rows, without symbols, with the columns of a bucket, by name, in its order and types.

    Raises:
        SchemaMismatchError: other columns than the bucket has, or a value that would change.
    """
    ts, arrays = table.ts, table.arrays
    if len(table) == 0 and arrays.keys() == schema.dtypes.keys():
        # Without a value there is no telling what an untyped column would have held.
        return Table(ts, {name: np.empty(0, dtype) for name, dtype in schema.columns})
    if table.had_nanoseconds and "Nanoseconds" in schema.dtypes:
        ts = ts - arrays["Nanoseconds"].astype(np.int64)
    elif table.had_nanoseconds:
        arrays = {name: array for name, array in arrays.items() if name != "Nanoseconds"}
    if arrays.keys() != schema.dtypes.keys():
        given = _described((name, array.dtype) for name, array in arrays.items())
        raise SchemaMismatchError(
            f"{where}: unable to match data columns ({given}) to bucket columns "
            f"({_described(schema.columns)}); write the same columns, add them with alter, or "
            "use another attribute group"
        )
    fitted = {
        name: cast_column(name, arrays[name], dtype, where=where, rounds=table.is_rounded)
        for name, dtype in schema.columns
    }
    return Table(ts, fitted)


def _described(columns: Iterable[tuple[str, np.dtype[Any]]]) -> str:
    words = ["{Epoch INT64}"]
    for name, dtype in columns:
        short = type_name(dtype)
        words.append(f"{{{name} {_MARKETSTORE_NAMES.get(short) or 'STRING' + short[1:]}}}")
    return f"[{' '.join(words)}]"


def _gather(data: Any) -> tuple[dict[str, NDArray[Any]], set[str]]:
    """Arrays by name, and the names of those whose datetimes are UTC whatever `tz` says."""
    if isinstance(data, Columns):
        return dict(data.items()), set()
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if isinstance(data, np.ndarray):
        return _from_structured(data), set()
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.Series):
        return _from_pandas(data.to_frame())
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _from_pandas(data)
    if arrow.is_table(data):
        return arrow.read_stream(data)
    raise InvalidArgumentError(
        f"cannot write a {type(data).__name__}; pass Columns, a mapping of name to array, a "
        "structured array, a pandas or polars DataFrame, or an Arrow table"
    )


def _from_mapping(data: Mapping[Any, Any]) -> tuple[dict[str, NDArray[Any]], set[str]]:
    columns: dict[str, NDArray[Any]] = {}
    aware = set[str]()
    for name, values in data.items():
        if type(values) is np.ndarray:
            columns[name] = values
            continue
        columns[name], is_aware = _column(name, values)
        if is_aware:
            aware.add(name)
    return columns, aware


def _from_structured(data: NDArray[Any]) -> dict[str, NDArray[Any]]:
    if data.dtype.names is None:
        raise InvalidArgumentError(
            f"a plain array of {data.dtype} has no column names; pass a mapping of name to array "
            "or a structured array"
        )
    if data.ndim != 1:
        raise InvalidArgumentError(f"a structured array of {data.ndim} dimensions; pass one")
    if isinstance(data, np.ma.MaskedArray):
        return {name: _unmasked(name, data[name]) for name in data.dtype.names}
    return {name: np.asarray(data[name]) for name in data.dtype.names}


def _from_pandas(frame: Any) -> tuple[dict[str, NDArray[Any]], set[str]]:
    import pandas as pd

    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise InvalidArgumentError(f"column {name!r} appears twice")
    values = {name: frame[name] for name in frame.columns}
    for level, name in enumerate(frame.index.names):
        if isinstance(frame.index, pd.MultiIndex):
            labels = frame.index.get_level_values(level)
        else:
            labels = frame.index
        name = "Epoch" if isinstance(labels, pd.DatetimeIndex) else name  # noqa: PLW2901
        if name in ("Epoch", "Symbol") and name not in values:
            values[name] = labels
    return _from_mapping(values)


def _column(name: Any, values: Any) -> tuple[NDArray[Any], bool]:
    """Any column as an array, and whether it holds instants rather than wall times."""
    if isinstance(values, np.ndarray):
        return _unmasked(name, values), False
    if type(values).__module__.partition(".")[0] == "pandas":
        return _pandas_column(name, values)
    if arrow.is_column(values):
        return arrow.read_column(name, values)
    if isinstance(values, str | bytes | None | Mapping):
        raise InvalidArgumentError(
            f"column {name!r} is {type(values).__name__}, not an array; pass one value per row"
        )
    if isinstance(values, list | tuple) and any(isinstance(value, str) for value in values):
        # numpy would turn [1, "a"] into text without a word; the objects themselves tell.
        return np.fromiter(values, object, len(values)), False
    try:
        return np.asarray(values), False
    except (ValueError, OverflowError):
        raise InvalidArgumentError(
            f"column {name!r} is ragged or mixed; pass one number or text per row"
        ) from None


def _pandas_column(name: Any, values: Any) -> tuple[NDArray[Any], bool]:
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.DatetimeIndex(values).tz_convert(None).to_numpy(), True
    if isinstance(dtype, pd.ArrowDtype):
        extension = getattr(values, "array", values)  # of a Series or an Index
        return arrow.read_column(name, extension.__arrow_array__())
    if isinstance(dtype, np.dtype):
        return values.to_numpy(), False
    number = getattr(dtype, "numpy_dtype", None)
    if not isinstance(number, np.dtype) or number.kind not in "iufb":
        return np.asarray(values, object), False
    if number.kind == "f":
        return values.to_numpy(number, na_value=np.nan), False
    missing = np.asarray(values.isna())
    if missing.any():
        raise _missing(name, int(np.argmax(missing)), "NA")
    return values.to_numpy(number), False


def _unmasked(name: Any, values: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    masked = np.ma.getmaskarray(values)
    if not masked.any():
        return np.asarray(values)
    if values.dtype.kind != "f":
        raise _missing(name, int(np.argmax(masked)), "masked")
    return np.asarray(values.filled(np.nan))


def _take_symbols(columns: dict[str, NDArray[Any]]) -> list[str]:
    array = columns.pop("Symbol", None)
    if array is None:
        raise InvalidArgumentError(
            f"a cross-section needs a text column Symbol; there are {', '.join(map(str, columns))}"
        )
    if array.ndim != 1:
        raise InvalidArgumentError("column 'Symbol' has more than one dimension")
    symbols: list[Any] = array.tolist()
    kinds = set(map(type, symbols))
    if kinds <= {str}:
        return symbols
    for row, symbol in enumerate(symbols):
        if not isinstance(symbol, str):
            raise InvalidArgumentError(f"Symbol in row {row} is {symbol!r}, not text")
    return [str(symbol) for symbol in symbols]


def _same_length(symbols: list[str] | None, rows: int) -> list[str] | None:
    if symbols is not None and len(symbols) != rows:
        raise InvalidArgumentError(
            f"column 'Symbol' has {len(symbols)} rows and the time has {rows}; "
            "all columns need the same length"
        )
    return symbols


def _time_name(columns: dict[str, NDArray[Any]]) -> str:
    for name in ("Epoch", *TIME_NAMES):
        array = columns.get(name)
        if array is None or (name != "Epoch" and not _holds_datetimes(array)):
            continue
        if array.ndim != 1:
            raise InvalidArgumentError(
                f"column {name!r} has {array.ndim} dimensions; pass one value per row"
            )
        return name
    raise InvalidArgumentError(
        f"no column Epoch among {', '.join(map(str, columns)) or 'no columns at all'}; "
        "add whole seconds since 1970, or datetimes"
    )


def _holds_datetimes(array: NDArray[Any]) -> bool:
    if array.dtype.kind == "M":
        return True
    return array.dtype.kind == "O" and array.size > 0 and isinstance(array.flat[0], date)


def _plus(ts: NDArray[np.int64], nanoseconds: NDArray[Any]) -> NDArray[np.int64]:
    if nanoseconds.dtype.kind not in "iu":
        raise InvalidArgumentError(
            f"unexpected data type for Nanoseconds column: {nanoseconds.dtype}; pass integers"
        )
    rest = nanoseconds.astype(np.int64)
    total = ts + rest
    overflow = ((ts ^ total) & (rest ^ total)) < 0
    if overflow.any():
        at = int(np.argmax(overflow))
        raise InvalidArgumentError(f"Nanoseconds {nanoseconds[at]} in row {at} leave the calendar")
    return total


def _normalised(name: Any, array: NDArray[Any]) -> NDArray[Any]:
    """One data column, contiguous, little-endian, of a type a bucket can have."""
    if not isinstance(name, str):
        raise InvalidArgumentError(f"column name {name!r} is not text; rename the column")
    if array.ndim != 1:
        raise InvalidArgumentError(
            f"column {name!r} has {array.ndim} dimensions; pass one value per row"
        )
    dtype = array.dtype
    if dtype in _READY:
        return np.ascontiguousarray(array)
    if dtype.kind in "iuf" and dtype.itemsize <= 8:  # big-endian, or half precision
        return array.astype(
            "<f4" if dtype.itemsize == 2 and dtype.kind == "f" else "<" + dtype.str[1:]
        )
    if dtype.kind == "U":
        return _text(name, np.ascontiguousarray(array, f"<U{max(1, dtype.itemsize // 4)}"))
    if dtype.kind == "T":
        return _from_objects(name, array.tolist())
    if dtype.kind == "O":
        return _from_objects(name, array.tolist())
    if dtype.kind in "Mm":
        raise InvalidArgumentError(
            f"column {name!r} holds {dtype}; a row has one time, its Epoch: convert other times "
            "to integers"
        )
    raise InvalidArgumentError(
        f"column {name!r} has dtype {dtype}; convert it to an integer, a float, a boolean or text"
    )


def _from_objects(name: str, values: list[Any]) -> NDArray[Any]:
    """Python objects as numbers or text, nothing guessed."""
    if not values:
        return np.empty(0, np.float64)
    texts = [isinstance(value, str) for value in values]
    if all(texts):
        return _from_texts(name, values)
    present = (not _is_missing(value, in_text=True) for value in values)
    is_text = next((text for text, there in zip(texts, present, strict=True) if there), False)
    for row, value in enumerate(values):
        if _is_missing(value, in_text=is_text):
            raise _missing(name, row, repr(value))
        if texts[row] if is_text else isinstance(value, bool | int | float | np.number | np.bool_):
            continue
        hint = "; convert to float or to integer ticks" if type(value).__name__ == "Decimal" else ""
        raise InvalidArgumentError(
            f"column {name!r} holds {shown(value)} ({type(value).__name__}) in row {row}, neither "
            f"numbers nor text throughout{hint}"
        )
    array = np.array(values)
    if array.dtype.kind not in "biuf":
        raise InvalidArgumentError(f"column {name!r} holds integers beyond 64 bits")
    return array


def _is_missing(value: object, *, in_text: bool) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return in_text and isinstance(value, float) and value != value  # noqa: PLR0124  (as pandas does)


def _from_texts(name: Any, values: list[str]) -> NDArray[Any]:
    array = np.array(values, str)
    if sum(map(len, values)) != int(np.char.str_len(array).sum()):
        row = next(row for row, value in enumerate(values) if value.endswith("\0"))
        raise InvalidArgumentError(
            f"column {name!r} holds {values[row]!r} in row {row}, whose last character is NUL, "
            "which no column keeps; cut it off"
        )
    return _text(name, array)


def _text(name: Any, array: NDArray[np.str_]) -> NDArray[np.str_]:
    """The array, if all of it is Unicode text."""
    width = array.dtype.itemsize // 4
    codes = array.view(np.uint32).reshape(len(array), width)
    if codes.max(initial=0) < _SURROGATES.start:
        return array
    bad = (codes >= _SURROGATES.start) & (codes < _SURROGATES.stop) | (codes >= _UNICODE_END)
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        raise InvalidArgumentError(
            f"column {name!r} holds half a character in row {row}, which is no Unicode text; "
            "decode it as it was encoded"
        )
    return array


def _missing(name: Any, row: int, what: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"column {name!r} is {what} in row {row}; only float columns can lack values, as NaN: "
        "fill the others first"
    )
