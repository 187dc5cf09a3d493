"""Cells of a CSV file as values of a column, and what the two readers of CSV share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.schema import type_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Types by the names of the columns in the file.
Types = dict[str, np.dtype[Any]]

_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


@dataclass(frozen=True)
class Batch:
    """Rows as they were read.

    Attributes:
        columns: arrays by the names in the file; text as Symbols.
        fraction: how much of the file has been read with them.
        lines: where each row ends; None if it is not known.
    """

    columns: dict[str, Any]
    fraction: float
    lines: list[int] | None = None


class NotReadQuicklyError(Exception):
    """The quick reader cannot: the slow one reads it, or says why not.

    Attributes:
        name: the column, if it is known.
    """

    def __init__(self, name: str | None) -> None:
        super().__init__(name)
        self.name = name


class TooNarrowError(InvalidArgumentError):
    """A cell does not fit the type of its column.

    Attributes:
        name: the column.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number, NaN and infinity included."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def parse(cells: NDArray[np.str_], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cells as a type of column, other than text.

    Raises:
        ValueError: a cell is none of that type.
        OverflowError: a whole number beyond 64 bits.
    """
    if dtype.kind == "b":
        lowered = np.char.lower(cells).tolist()
        if not _BOOLEANS.keys() >= set(lowered):
            raise ValueError("neither true nor false")
        return np.array([_BOOLEANS[text] for text in lowered])
    if dtype.kind == "f":
        return narrowed(np.where(cells == "", "nan", cells).astype(np.float64), dtype)
    return narrowed(cells.astype(np.uint64 if dtype.kind == "u" else np.int64), dtype)


def narrowed(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers in the type of a column; of a decimal number, the nearest it has.

    Raises:
        ValueError: a number is beyond the type.
    """
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    lost = np.isinf(narrow) & np.isfinite(values) if dtype.kind == "f" else narrow != values
    if lost.any():
        raise ValueError("beyond the type")
    return narrow


def fits(cell: str, dtype: np.dtype[Any]) -> bool:
    """Whether a cell is a value of that type."""
    try:
        parse(np.array([cell]), dtype)
    except (ValueError, OverflowError):
        return False
    return True


def complaint(cell: str, dtype: np.dtype[Any]) -> str:
    """What is wrong with a cell that does not fit."""
    if dtype.kind == "b":
        return f"{cell!r} is neither true nor false"
    if cell == "":
        return f"an empty cell in a column of whole numbers ({type_name(dtype)})"
    if dtype.kind == "f" or not is_number(cell):
        return f"{cell!r} is not a number ({type_name(dtype)})"
    return f"{cell!r} is not a whole number that {type_name(dtype)} holds"
