"""The last row of one bucket that was known at each row of another: trades and their quotes.

All rows are matched at once by binary search. Of the right side only the range that the left one
covers is read, begun one row earlier, so that the first row of the left side finds what was known
when it came.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError, NotFoundError
from tsstore.key import BucketKey, is_pattern
from tsstore.shown import shown
from tsstore.timeframe import Timeframe
from tsstore.times import MAX_NS, MIN_NS, to_ns
from tsstore.zones import NS_PER_SECOND, zone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tsstore.times import TimeLike

Duration: TypeAlias = "timedelta | np.timedelta64 | int | float | str"
#: Rows that were read already, or the name of a bucket.
Side: TypeAlias = "Columns | str"

_DIRECTIONS = ("backward", "forward", "nearest")
#: Whole numbers up to here are floats as well.
_EXACT_MAX = 2**53


#: `StoreApi.read`, of a store or of what stands for one.
Reader: TypeAlias = "Callable[..., Any]"


class AsofOptions(NamedTuple):
    """How rows are matched, and what comes of it; see `StoreApi.asof`."""

    start_ns: int | None = None
    end_ns: int | None = None
    columns: tuple[str, ...] | None = None
    right_columns: tuple[str, ...] | None = None
    direction: str = "backward"
    tolerance_ns: int | None = None
    allow_exact: bool = True
    drop: bool = False
    suffix: str = "_right"
    age: str | None = None


def make_options(
    *,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    tz: str | None = None,
    columns: Sequence[str] | None = None,
    right_columns: Sequence[str] | None = None,
    direction: str = "backward",
    tolerance: Duration | None = None,
    allow_exact: bool = True,
    drop: bool = False,
    suffix: str = "_right",
    age: str | None = None,
) -> AsofOptions:
    """The arguments of `StoreApi.asof`, checked.

    Raises:
        InvalidArgumentError: one that cannot be right.
    """
    if tz is not None:
        zone(tz)
    return AsofOptions(
        None if start is None else to_ns(start, tz),
        None if end is None else to_ns(end, tz),
        _names("columns", columns),
        _names("right_columns", right_columns),
        direction,
        None if tolerance is None else _duration_ns(tolerance),
        bool(allow_exact),
        bool(drop),
        suffix,
        age,
    )


def _check(options: AsofOptions) -> None:
    if options.direction not in _DIRECTIONS:
        raise InvalidArgumentError(
            f"direction {shown(options.direction)} is unknown; there are {', '.join(_DIRECTIONS)}"
        )
    if options.tolerance_ns is not None and options.tolerance_ns < 0:
        raise InvalidArgumentError("the tolerance is negative; leave it out for any distance")


def _names(what: str, names: Any) -> tuple[str, ...] | None:
    if names is None:
        return None
    listed = () if isinstance(names, str) or not hasattr(names, "__iter__") else tuple(names)
    if not all(isinstance(name, str) for name in listed) or (not listed and names != ()):
        raise InvalidArgumentError(f"{what} {shown(names)} is not a list of names")
    return listed


def _duration_ns(value: Any) -> int:
    """Nanoseconds of a length of time, which is not negative."""
    if isinstance(value, str) and re.fullmatch(r"\d+[A-Za-z]+", value):
        return Timeframe.parse(value).duration_ns
    found: int | None = None
    if isinstance(value, timedelta):
        microseconds = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
        found = microseconds * 1_000
    elif isinstance(value, np.timedelta64) and not np.isnat(value):
        found = int(value.astype("m8[ns]").astype(np.int64))
    elif isinstance(value, int | float | np.number) and not isinstance(value, bool):
        found = round(float(value) * NS_PER_SECOND) if np.isfinite(value) else None
    if found is None or found < 0:
        raise InvalidArgumentError(
            f"tolerance {shown(value)} is no length of time; write seconds, '5Sec', or a timedelta"
        )
    return found


def asof(
    read: Reader, left: Side | Sequence[str], right: Side, options: AsofOptions
) -> Columns | dict[str, Columns]:
    """`StoreApi.asof` over anything that reads.

    Args:
        read: gives rows of buckets.
        left: see `StoreApi.asof`.
        right: see `StoreApi.asof`.
        options: how rows are matched.

    Returns:
        Rows, or rows by key when `left` is a pattern or a list.
    """
    _check(options)
    if isinstance(left, Columns):
        return _asof_one(read, left, right, options)
    if isinstance(left, str) and not is_pattern(left):
        return _asof_one(read, _left_rows(read, left, options), _right_of(left, right), options)
    found = {}
    for key, rows in _left_buckets(read, left, options).items():
        try:
            found[key] = _asof_one(read, rows, _right_of(key, right), options)
        except NotFoundError:  # a symbol that has the left side only, as `read` leaves out others
            continue
    if not found:
        raise NotFoundError(
            f"no symbol of {shown(left)} has a bucket {shown(right)}; list() shows those there are"
        )
    return found


def in_zone(found: Any, tz: str | None) -> Any:
    """What `asof` returns, shown in another time zone by the frames."""
    if isinstance(found, Columns):
        return found.in_zone(tz)
    return {key: rows.in_zone(tz) for key, rows in found.items()}


def _left_rows(read: Reader, key: str, options: AsofOptions) -> Any:
    start, end = _when(options.start_ns), _when(options.end_ns)
    return read(key, start=start, end=end, columns=options.columns)


def _left_buckets(
    read: Reader, left: str | Sequence[str], options: AsofOptions
) -> Mapping[str, Columns]:
    if isinstance(left, str):
        found: dict[str, Columns] = _left_rows(read, left, options)
        return found
    if not isinstance(left, Sequence):
        raise InvalidArgumentError(f"{shown(left)} is neither a bucket key nor a list of them")
    return {key: _left_rows(read, key, options) for key in left}


def _right_of(left_key: str, right: Side) -> Side:
    """The right side of one bucket: the same symbol's, where none is named."""
    if isinstance(right, Columns) or not isinstance(right, str):
        return right
    if right.count("/") == 1:
        right = f"*/{right}"
    symbol, _, group = right.partition("/")
    return f"{BucketKey.parse(left_key).symbol}/{group}" if symbol == "*" else right


def _asof_one(read: Reader, left: Columns, right: Side, options: AsofOptions) -> Columns:
    if isinstance(right, Columns):
        found: Columns = right
        if options.right_columns is not None:
            found = right.select(options.right_columns)
    elif isinstance(right, str):
        found = _right_rows(read, left.ts, right, options)
    else:
        raise InvalidArgumentError(
            f"{shown(right)} is neither a bucket key nor rows that were read"
        )
    return join(left, found, options)


def _right_rows(read: Reader, times: NDArray[np.int64], key: str, options: AsofOptions) -> Any:
    """The rows of the right side that any of these times may be matched with."""
    columns = options.right_columns
    if len(times) == 0:
        return read(key, start=_when(1), end=_when(0), columns=columns)
    first, last = int(times[0]), int(times[-1])
    reach = MAX_NS if options.tolerance_ns is None else options.tolerance_ns
    if options.direction != "forward":
        # Rows of one instant belong together, so the range begins where the row before lies.
        before = read(key, end=_when(first - (not options.allow_exact)), limit=1, columns=())
        earliest = int(before.ts[0]) if len(before) else first
        first = max(min(first, earliest), first - reach, MIN_NS)
    if options.direction != "backward":
        after = read(
            key, start=_when(last + (not options.allow_exact)), limit=1, from_start=True, columns=()
        )
        latest = int(after.ts[0]) if len(after) else last
        last = min(max(last, latest), last + reach, MAX_NS)
    return read(key, start=_when(first), end=_when(last), columns=columns)


def join(left: Columns, right: Columns, options: AsofOptions) -> Columns:
    """The rows of the left side with the columns of the matching rows of the right one.

    Args:
        left: rows to keep.
        right: rows to look among.
        options: how to match; ranges and names of columns are not looked at.

    Raises:
        InvalidArgumentError: a column of whole numbers that would need NaN and is too large for
            floats.
    """
    rows = _matches(left.ts, right.ts, options)
    matched = rows >= 0
    if options.drop and not matched.all():
        left, rows = left.take(matched), rows[matched]
        matched = np.ones(len(rows), bool)
    arrays = dict(left.items())
    for name, array in right.items():
        shown = _free_name(name, options.suffix, arrays)
        arrays[shown] = _picked(shown, array, rows, matched)
    if options.age is not None:
        ages = np.full(len(left), np.nan)
        ages[matched] = (left.ts[matched] - right.ts[rows[matched]]) / NS_PER_SECOND
        arrays[_free_name(options.age, options.suffix, arrays)] = ages
    return Columns(left.ts, arrays, variable=left.variable, tz=left.tz, partial=left.partial)


def _matches(
    left: NDArray[np.int64], right: NDArray[np.int64], options: AsofOptions
) -> NDArray[np.intp]:
    """The row of the right side that each of the left one matches; -1 for none.

    Of several rows of one instant, the last one is what was known then and the first one what
    comes next.
    """
    if options.direction == "backward":
        rows = _before(left, right, options)
    elif options.direction == "forward":
        rows = _after(left, right, options)
    else:
        before, after = _before(left, right, options), _after(left, right, options)
        nearer = (after >= 0) & (_distance(left, right, after) < _distance(left, right, before))
        rows = np.where(nearer, after, before)
    if options.tolerance_ns is not None and len(right):
        rows[_distance(left, right, rows) > options.tolerance_ns] = -1
    return rows


def _before(
    left: NDArray[np.int64], right: NDArray[np.int64], options: AsofOptions
) -> NDArray[np.intp]:
    return np.searchsorted(right, left, "right" if options.allow_exact else "left") - 1


def _after(
    left: NDArray[np.int64], right: NDArray[np.int64], options: AsofOptions
) -> NDArray[np.intp]:
    rows = np.searchsorted(right, left, "left" if options.allow_exact else "right")
    rows[rows == len(right)] = -1
    return rows


def _distance(
    left: NDArray[np.int64], right: NDArray[np.int64], rows: NDArray[np.intp]
) -> NDArray[np.uint64]:
    """Nanoseconds between matched rows; the largest number where none is matched."""
    if not len(right):
        return np.full(len(left), np.iinfo(np.uint64).max)
    # int64 may overflow here, and as uint64 the difference of ordered numbers is right again.
    other = right[rows]
    distance = (np.maximum(left, other) - np.minimum(left, other)).view(np.uint64)
    return np.where(rows < 0, np.iinfo(np.uint64).max, distance)


def _picked(
    name: str, array: NDArray[Any], rows: NDArray[np.intp], matched: NDArray[np.bool_]
) -> NDArray[Any]:
    """Values of the matched rows; where there is none, NaN, or empty text."""
    if matched.all():
        return array[rows]
    if array.dtype.kind == "U":
        texts = np.zeros(len(rows), array.dtype)
        texts[matched] = array[rows[matched]]
        return texts
    values = array[rows[matched]]
    dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
    if array.dtype.itemsize == 8 and array.dtype.kind in "iu" and len(values):
        _check_exact(name, values)
    picked = np.full(len(rows), np.nan, dtype)
    picked[matched] = values
    return picked


def _check_exact(name: str, values: NDArray[Any]) -> None:
    if values.max() > _EXACT_MAX or values.min() < -_EXACT_MAX:
        raise InvalidArgumentError(
            f"column {name!r} holds whole numbers that no float does, and rows without a match, "
            "which need NaN; pass drop=True to leave those rows out, or leave the column out of "
            "right_columns"
        )


def _free_name(name: str, suffix: str, taken: Mapping[str, Any]) -> str:
    if name not in taken:
        return name
    if name + suffix in taken:
        raise InvalidArgumentError(
            f"columns {name!r} and {name + suffix!r} are there already; choose another suffix"
        )
    return name + suffix


def _when(ns: int | None) -> np.datetime64 | None:
    return None if ns is None else np.datetime64(min(max(ns, MIN_NS), MAX_NS), "ns")
