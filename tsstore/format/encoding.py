"""Column blocks: up to BLOCK_ROWS values of one column as bytes.

RAW is the little-endian array as it is; CONSTANT is the one value that all rows have, bit for bit.
Numbers from 16 on are kept for packed encodings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.format.constants import ENCODING_CONSTANT, ENCODING_RAW
from tsstore.format.record import array_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS: dict[int, np.dtype[Any]] = {
    1: np.dtype("u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}


class UnknownEncodingError(Exception):
    """A block of an encoding this code does not have."""


def encode_block(values: NDArray[Any]) -> tuple[int, memoryview]:
    """The encoding that was chosen and the stored bytes.

    Args:
        values: one-dimensional, contiguous, little-endian, at least one row.
    """
    bits = _BITS.get(values.dtype.itemsize)
    if bits is not None and len(values) > 1:
        words = values.view(bits)
        if words[0] == words[-1] and (words == words[0]).all():
            return ENCODING_CONSTANT, array_bytes(values[:1])
    return ENCODING_RAW, array_bytes(values)


def decode_block(encoding: int, data: memoryview, out: NDArray[Any]) -> None:
    """Fill `out` with the values of a block; its length tells how many there are.

    Raises:
        UnknownEncodingError: the encoding has no meaning here, or the length is not right.
    """
    if encoding == ENCODING_RAW and len(data) == out.nbytes:
        out.view(np.uint8)[:] = np.frombuffer(data, np.uint8)
    elif encoding == ENCODING_CONSTANT and len(data) == out.dtype.itemsize:
        out[:] = np.frombuffer(data, out.dtype)  # as an array: damaged text is no str
    else:
        raise UnknownEncodingError(
            f"encoding {encoding} with {len(data)} bytes for {len(out)} rows"
        )
