"""What to do about an error of DuckDB's, where it does not know how buckets are read here."""

from __future__ import annotations

import re

from tsstore.functions import FUNCTION_NAMES

#: A bucket or a group that stands where a table does, without quotation marks.
_BARE_NAME = re.compile(
    r"\b(?:FROM|JOIN)\s+(?P<name>(?:[^\s\"'`(),/;]+/)?\d+[A-Za-z]+/[^\s\"'`(),/;]+)", re.IGNORECASE
)
_UNKNOWN_FUNCTION = re.compile(r"Function with name \"?(?P<name>\w+)\"? does not exist")


def advised(error: str, statement: str) -> tuple[str, str | None]:
    """The text of an error and, where there is some, advice behind it.

    Args:
        error: DuckDB's text.
        statement: what it was asked.

    Returns:
        What programs are told, and what the command line says instead; None for the same.
    """
    bare = _BARE_NAME.search(statement)
    if bare is not None and "Parser Error" in error:
        name = bare["name"]
        return f'{error}\nBucket names stand in double quotes: FROM "{name}"', None
    unknown = _UNKNOWN_FUNCTION.search(error)
    if unknown is None or unknown["name"].lower() not in FUNCTION_NAMES:
        return error, None
    name = unknown["name"].lower()
    told = f"{error}\n{name} is no function of SQL; use"
    return f'{told} store.read(key, functions=["{name}(...)"])', (
        f"{told} `tsstore query KEY --function '{name}(...)'`"
    )
