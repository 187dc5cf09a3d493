"""Columns of a CSV as numpy arrays."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore_massive.decoding.fields import id_number

if TYPE_CHECKING:
    from numpy.typing import NDArray


def numbers(column: Any) -> NDArray[np.float64]:
    """A column of floats; an empty cell is NaN."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def whole(column: Any) -> NDArray[np.int64]:
    """A column of whole numbers; an empty cell is 0."""
    filled = column.fill_null(0) if column.null_count else column
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.int64)


def ids(column: Any) -> NDArray[np.int64]:
    """Trade ids: their number, or the negative one that stands for a text, as from others."""
    import pyarrow as pa
    from pyarrow import compute

    # Arrow reads more as numbers than others do, such as 0x10.
    if compute.all(compute.ascii_is_decimal(column)).as_py():
        with suppress(pa.ArrowInvalid):  # one has too many digits
            return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
    plain = compute.match_substring_regex(column, "^[0-9]{1,18}$")
    plain_numbers = compute.if_else(plain, column, "0").cast(pa.int64())
    found = np.array(plain_numbers.to_numpy(zero_copy_only=False), np.int64)
    for row in np.flatnonzero(~np.asarray(plain.to_numpy(zero_copy_only=False))):
        found[row] = id_number(column[int(row)].as_py())
    return found
