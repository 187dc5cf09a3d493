"""What a table of a statement is: which buckets, which columns, of which types."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import InvalidArgumentError, InvalidKeyError, NotFoundError
from tsstore.key import BucketKey, KeyPattern, is_pattern
from tsstore.query import Query, run
from tsstore.schema import type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from tsstore.query import Engine
    from tsstore.schema import Schema

#: Columns that tell the buckets of a cross-section apart, and the part of the key that each is.
_KEY_COLUMNS = ("Symbol", "Timeframe", "AttributeGroup")
_SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket of a table.

    Attributes:
        key: its name.
        labels: values of the table's key columns.
        schema: its own columns.
        is_stored: whether its rows are read as they are, and not computed from finer bars.
    """

    key: BucketKey
    labels: tuple[str, ...]
    schema: Schema
    is_stored: bool


@dataclass(frozen=True, slots=True)
class SqlTable:
    """A table: one bucket, or the buckets of a cross-section one after the other.

    Attributes:
        name: as the statement calls it.
        buckets: sorted by key; at least one.
        labels: its key columns, none of them for a single bucket.
        columns: data columns and the types in which they are shown; a bucket that lacks one has
            nothing (NULL) there.
    """

    name: str
    buckets: tuple[Bucket, ...]
    labels: tuple[str, ...]
    columns: tuple[tuple[str, np.dtype[Any]], ...]

    @property
    def is_variable(self) -> bool:
        """Whether there is a bucket with any number of rows per slot."""
        return any(bucket.schema.is_variable for bucket in self.buckets)


def find_table(engine: Engine, name: str, tz: str) -> SqlTable:
    """The table of that name.

    Args:
        engine: where the buckets are.
        name: `AAPL/1Min/OHLCV`; `*/1Min/OHLCV` or `AAPL,MSFT/1Min/OHLCV` for a cross-section;
            `1Min/OHLCV` for that of all symbols.
        tz: zone of the store.

    Raises:
        NotFoundError: no bucket of that name; the text names similar ones.
        InvalidKeyError: not such a name.
        InvalidArgumentError: the buckets have columns of types that do not go together.
    """
    target = f"*/{name}" if name.count("/") == 1 else name
    symbol, comma, rest = target.partition("/")
    if "," in symbol and not is_pattern(symbol):
        target = f"{{{symbol}}}{comma}{rest}"
    if not is_pattern(target):
        return _single(engine, name, target, tz)
    parts = KeyPattern(target).parts
    shown = [index for index, part in enumerate(parts) if index == 0 or is_pattern(part)]
    buckets = tuple(_matching(engine, target, shown, tz))
    if not buckets:
        raise _nothing(engine, name)
    labels = tuple(_KEY_COLUMNS[index] for index in shown)
    return SqlTable(name, buckets, labels, _common_columns(name, buckets))


def _single(engine: Engine, name: str, target: str, tz: str) -> SqlTable:
    try:
        key = BucketKey.parse(target)
    except InvalidKeyError as error:
        raise InvalidKeyError(
            f"there is no table {name[:200]!r}: tables are buckets, in double quotes or "
            f'backticks, such as "AAPL/1Min/OHLCV" ({error})'
        ) from None
    found = _found(engine, key, (), tz)
    if found is None:
        raise _nothing(engine, name)
    return SqlTable(name, (found,), (), found.schema.columns)


def _matching(engine: Engine, target: str, shown: list[int], tz: str) -> Iterator[Bucket]:
    """Buckets that a pattern names: stored, or, of one timeframe, computed as well."""
    for text in sorted(_candidates(engine.keys(), KeyPattern(target))):
        key = BucketKey.parse(text)
        found = _found(engine, key, tuple(key[index] for index in shown), tz)
        if found is not None:
            yield found


def _candidates(keys: list[str], pattern: KeyPattern) -> set[str]:
    found = set(pattern.filter(keys))
    symbol, timeframe, group = pattern.parts
    if not is_pattern(timeframe):
        for key in KeyPattern(f"{symbol}/*/{group}").filter(keys):
            name, _, of = key.split("/")
            found.add(f"{name}/{timeframe}/{of}")
    return found


def _found(engine: Engine, key: BucketKey, labels: tuple[str, ...], tz: str) -> Bucket | None:
    """The bucket, whether it is stored or can be computed; None when neither."""
    try:
        return Bucket(key, labels, engine.schema(str(key)), is_stored=True)
    except NotFoundError:
        pass
    # A range without instants: only the columns are wanted.
    nothing = Query((key.symbol,), key.timeframe, key.attribute_group, 1, 0, tz=tz)
    try:
        rows = run(engine, nothing)[str(key)]
    except NotFoundError:
        return None
    return Bucket(key, labels, rows.schema, is_stored=False)


def _common_columns(name: str, buckets: Iterable[Bucket]) -> tuple[tuple[str, np.dtype[Any]], ...]:
    """Columns of all buckets by name, in types that hold the values of each."""
    columns: dict[str, np.dtype[Any]] = {}
    # Most buckets share one schema, and comparing thousands takes longer than the rest.
    schemas = {id(bucket.schema): bucket.schema for bucket in buckets}
    for schema in schemas.values():
        for column, dtype in schema.columns:
            if column in columns and dtype != columns[column]:
                dtype = _wider(name, column, columns[column], dtype)  # noqa: PLW2901
            columns[column] = dtype
    return tuple(columns.items())


def _wider(name: str, column: str, one: np.dtype[Any], other: np.dtype[Any]) -> np.dtype[Any]:
    if (one.kind == "U") != (other.kind == "U"):
        raise InvalidArgumentError(
            f"the buckets of {name!r} have columns {column!r} of {type_name(one)} and of "
            f"{type_name(other)}, which are no one column; name the buckets more narrowly"
        )
    return np.promote_types(one, other)


def _nothing(engine: Engine, name: str) -> NotFoundError:
    keys = engine.keys()
    if is_pattern(name) or name.count("/") != 2:
        known = sorted({key.partition("/")[2] for key in keys})
        near = difflib.get_close_matches(re.sub(r".*\*/", "", name), known, _SUGGESTIONS)
        near = [f"*/{group}" for group in near]
    else:
        near = difflib.get_close_matches(name, keys, _SUGGESTIONS, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; SHOW TABLES lists those there are"
    return NotFoundError(f"there is no bucket for the table {name!r}{hint}")
