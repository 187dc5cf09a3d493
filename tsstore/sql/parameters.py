"""Values that stand for the `?`, `$1` or `$name` of a statement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.times import to_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

Scalar: TypeAlias = "str | int | float | bool | None"
#: What a caller may pass.
Parameters: TypeAlias = "Sequence[Any] | Mapping[str, Any] | None"


def plain_parameters(parameters: Parameters) -> list[Scalar] | dict[str, Scalar] | None:
    """The parameters as plain values, the same in this process and over RPC.

    Times become text, which DuckDB compares with times: datetimes without a zone are UTC.

    Raises:
        InvalidArgumentError: neither a list nor a mapping, or a value of another kind.
    """
    if parameters is None:
        return None
    if isinstance(parameters, Mapping):
        return {str(name): _plain(value) for name, value in parameters.items()}
    if isinstance(parameters, str | bytes) or not hasattr(parameters, "__iter__"):
        raise InvalidArgumentError(
            f"parameters are a list for ? and $1, or a mapping for $name, not {parameters!r}"
        )
    return [_plain(value) for value in parameters]


def _plain(value: Any) -> Scalar:
    if isinstance(value, date | np.datetime64):  # a datetime is a date
        return str(np.datetime64(to_ns(value), "ns"))
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise InvalidArgumentError(
        f"a parameter is text, a number, a time or None, not {type(value).__name__}"
    )
