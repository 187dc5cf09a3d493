"""Arguments of calls as messages, checked as the embedded store checks them."""

from __future__ import annotations

from itertools import filterfalse

from tsstore.api import Operation, Write, WriteTable
from tsstore.key import BucketKey, check_part
from tsstore.operations import check_rename
from tsstore.tables import read_table
from tsstore.times import to_ns
from tsstore.wire import exact


def operation_message(operation: Operation) -> exact.OperationMessage:
    """What the server is sent of an operation of a commit.

    Raises:
        InvalidArgumentError: its key, its data or its range cannot be right.
    """
    variable = bool(operation.variable)
    schema = None if operation.schema is None else exact.schema_message(operation.schema)
    table = read_table(operation.data, with_symbol=isinstance(operation, WriteTable))
    rows = exact.rows_of_table(table)
    if isinstance(operation, WriteTable):
        BucketKey.parse(f"X/{operation.group}")
        for symbol in filterfalse(str.isascii, table.symbols or ()):
            check_part("symbol", symbol)
        return exact.OperationMessage("table", operation.group, rows, schema, variable)
    key = str(BucketKey.parse(operation.key))
    if isinstance(operation, Write):
        return exact.OperationMessage("write", key, rows, schema, variable)
    return exact.OperationMessage(
        "replace",
        key,
        rows,
        schema,
        variable,
        to_ns(operation.start),
        to_ns(operation.end),
    )


def two_keys(key: str, new_key: str) -> exact.TwoKeysParams:
    """The parameters of a call that gives a bucket another name, or a copy one.

    Raises:
        InvalidArgumentError: no keys, or keys of two timeframes.
    """
    check_rename(key, new_key)
    return exact.TwoKeysParams(str(BucketKey.parse(key)), str(BucketKey.parse(new_key)))
