"""Checks of what a store is asked to write, the same in this process and over RPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsstore.api import Operation, Replace, Write, WriteTable
from tsstore.errors import InvalidArgumentError
from tsstore.key import BucketKey
from tsstore.schema import Schema
from tsstore.times import to_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsstore.times import TimeLike


def check_operations(operations: Iterable[Operation]) -> Iterator[Operation]:
    """The operations, each checked when its turn comes.

    Raises:
        InvalidArgumentError: not a list of operations, or one with another thing for a schema.
    """
    if not hasattr(operations, "__iter__"):
        raise InvalidArgumentError(f"{operations!r} is not a list of operations")
    return map(_checked, operations)


def _checked(operation: Any) -> Operation:
    if not isinstance(operation, Write | Replace | WriteTable):
        raise InvalidArgumentError(
            f"{operation!r} is not an operation; pass Write, Replace or WriteTable"
        )
    if operation.schema is not None:
        check_schema(operation.schema)
    return operation


def check_schema(schema: Any) -> Schema:
    """The schema.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if not isinstance(schema, Schema):
        raise InvalidArgumentError(f"schema {schema!r} is not a Schema; use Schema.of({{...}})")
    return schema


def writes_of(batches: Any) -> list[Operation]:
    """What `write_many` stands for.

    Raises:
        InvalidArgumentError: not a mapping of key to data.
    """
    if not hasattr(batches, "items"):
        raise InvalidArgumentError("write_many() takes a mapping of bucket key to data")
    return [Write(key, data) for key, data in batches.items()]


def to_instant(when: TimeLike | None, otherwise: int) -> int:
    """Nanoseconds since 1970 UTC of an end of a range, or `otherwise` when it is left out."""
    return otherwise if when is None else to_ns(when)


def check_rename(key: str, new_key: str) -> None:
    """Whether a bucket may get this name.

    Raises:
        InvalidArgumentError: a name of another timeframe, whose slots its rows do not have.
    """
    old, new = BucketKey.parse(key), BucketKey.parse(new_key)
    if old.timeframe != new.timeframe:
        raise InvalidArgumentError(
            f"{key} cannot become {new_key}: its rows have slots of {old.timeframe}; "
            "read it with another timeframe instead"
        )
