"""Rows of a batch as the messages of /ws show them, without building what nobody asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.columns import Columns


class Row(Mapping[str, Any]):
    """One row: column name to scalar, made when it is asked for.

    Most rows are published to nobody, and then none of their values is touched.
    """

    __slots__ = ("_arrays", "_index")

    def __init__(self, arrays: Mapping[str, NDArray[Any]], index: int) -> None:
        self._arrays = arrays
        self._index = index

    def __getitem__(self, name: str) -> Any:
        value = self._arrays[name][self._index]
        return value.tolist() if isinstance(value, np.ndarray) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def message_arrays(rows: Columns) -> dict[str, NDArray[Any]]:
    """Columns in the order of a message: Epoch, the data, and Nanoseconds of variable rows.

    Texts become shape (rows, width) arrays of code points, which is how MarketStore sends them.
    """
    arrays = {"Epoch": rows["Epoch"]}
    for name, array in rows.items():
        arrays[name] = _code_points(array) if array.dtype.kind == "U" else array
    if rows.variable:
        arrays["Nanoseconds"] = rows["Nanoseconds"]
    return arrays


def _code_points(array: NDArray[Any]) -> NDArray[np.uint32]:
    width = array.dtype.itemsize // 4
    return np.ascontiguousarray(array).view(np.uint32).reshape(len(array), width)
