"""Schemas: the named, typed columns of a bucket, and the type names MarketStore uses for them."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.errors import InvalidArgumentError, SchemaMismatchError
from tsstore.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

COLUMNS_MAX = 1024
NAME_BYTES_MAX = 128
STRING_WIDTH_MAX = 1024

_NUMERIC = frozenset({"i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "b1"})
_LONG_NAMES = {
    "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8", "uint8": "u1", "uint16": "u2",
    "uint32": "u4", "uint64": "u8", "float32": "f4", "float64": "f8", "bool": "b1", "byte": "i1",
    "epoch": "i8", "string16": "U16", "string": "U16",
}  # fmt: skip
_FORBIDDEN_IN_NAMES = r"[\x00-\x1f\x7f/,:\ud800-\udfff]"


class RecordKind(enum.Enum):
    """What a write does where there is a row already; the values stand on disk."""

    #: One row per slot of the timeframe; a later write replaces it.
    FIXED = 0
    #: Any number of rows at any instant; equal instants keep the order in which they came.
    VARIABLE = 1


def parse_dtype(text: str | np.dtype[Any] | type) -> np.dtype[Any]:
    """A column type from any spelling a client sends: `f8`, `<f8`, `|u1`, `float32`, `U16`.

    Raises:
        InvalidArgumentError: not a type a column can have.
    """
    name = (
        text.str
        if isinstance(text, np.dtype)
        else str(np.dtype(text).str if isinstance(text, type) else text)
    )
    short = name.lstrip("<|=")
    short = _LONG_NAMES.get(short.lower(), short)
    if short in _NUMERIC:
        return np.dtype(short).newbyteorder("<")
    if re.fullmatch(r"U[1-9]\d{0,3}", short) and int(short[1:]) <= STRING_WIDTH_MAX:
        return np.dtype("<" + short)
    raise InvalidArgumentError(
        f"unsupported type string {name}; columns are i1 i2 i4 i8 u1 u2 u4 u8 f4 f8 b1 or "
        f"U1 to U{STRING_WIDTH_MAX}"
    )


def parse_shapes(text: str) -> list[tuple[str, str]]:
    """Names and types as MarketStore's users write them: `Open,High/float32:Volume/int64`.

    Raises:
        InvalidArgumentError: a part of it has no type.
    """
    pairs = list[tuple[str, str]]()
    for shape in text.split(":"):
        names, slash, kind = shape.rpartition("/")
        if not slash:
            raise InvalidArgumentError(
                f"data_shapes holds {shape[:60]!r}; write name/type:name/type, such as "
                "Open/float32:Volume/int64"
            )
        pairs.extend((name, kind) for name in names.split(","))
    return pairs


def type_name(dtype: np.dtype[Any]) -> str:
    """The type as MarketStore writes it: no byte-order mark (`f8`, `U16`)."""
    return dtype.str.lstrip("<|=")


@dataclass(frozen=True)
class Schema:
    """The columns of a bucket, in order, besides the time.

    Attributes:
        columns: (name, dtype) pairs; names are unique.
        kind: fixed (one row per slot) or variable (ticks).
        identity: for variable buckets, the columns that tell one event from another. Two rows
            within one millisecond whose identity is equal are one event: the one whose time has
            digits below the millisecond stays, else the one written later. Rows of one instant
            are ordered by these columns. Empty: every written row stays.
        synthetic: whether the rows are made up. A bucket keeps that for ever, and takes only rows
            of which the writer says the same, so that nobody takes made-up rows for real ones.
    """

    columns: tuple[tuple[str, np.dtype[Any]], ...]
    kind: RecordKind = RecordKind.FIXED
    identity: tuple[str, ...] = field(default=())
    synthetic: bool = False

    def __post_init__(self) -> None:
        if len(self.columns) > COLUMNS_MAX:
            raise InvalidArgumentError(f"{len(self.columns)} columns; at most {COLUMNS_MAX}")
        seen = set[str]()
        for name, dtype in self.columns:
            _check_name(name, seen, self.kind)
            seen.add(name)
            if parse_dtype(dtype) != dtype:
                raise InvalidArgumentError(f"column {name!r} has type {dtype}; use little-endian")
        missing = [name for name in self.identity if name not in seen]
        if missing:
            raise InvalidArgumentError(f"identity names {missing}, which the schema does not have")
        if self.identity and self.kind is RecordKind.FIXED:
            raise InvalidArgumentError(
                "identity is for variable-length buckets; a fixed one has one row per slot"
            )

    @staticmethod
    def of(
        columns: Mapping[str, Any] | Iterable[tuple[str, Any]],
        *,
        variable: bool = False,
        identity: Iterable[str] = (),
        synthetic: bool = False,
    ) -> Schema:
        """A schema from names and types: `Schema.of({"Open": "f8", "Volume": "f8"})`."""
        pairs = columns.items() if hasattr(columns, "items") else columns
        typed = tuple((name, parse_dtype(dtype)) for name, dtype in pairs)
        kind = RecordKind.VARIABLE if variable else RecordKind.FIXED
        return Schema(typed, kind, tuple(identity), synthetic)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(name for name, _ in self.columns)

    @cached_property
    def dtypes(self) -> dict[str, np.dtype[Any]]:
        """Column types by name."""
        return dict(self.columns)

    @property
    def is_variable(self) -> bool:
        """Whether the bucket holds any number of rows per slot."""
        return self.kind is RecordKind.VARIABLE

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one row, the time included."""
        return 8 + sum(dtype.itemsize for _, dtype in self.columns)

    def __str__(self) -> str:
        columns = ", ".join(f"{name} {type_name(dtype)}" for name, dtype in self.columns)
        identity = f", identity {'+'.join(self.identity)}" if self.identity else ""
        mark = "synthetic " if self.synthetic else ""
        return f"{mark}{self.kind.name.lower()} ({columns}{identity})"


def cast_column(
    name: str, values: NDArray[Any], dtype: np.dtype[Any], *, where: str, rounds: bool = False
) -> NDArray[Any]:
    """The values in the bucket's type, or an error if a value would change.

    Args:
        name: of the column.
        values: as they were given.
        dtype: of the bucket.
        where: the bucket, for the error.
        rounds: whether numbers may become the nearest floats; those beyond the range may not.

    Raises:
        SchemaMismatchError: a value does not survive the change of type.
    """
    if values.dtype == dtype:
        return values
    if widens(values.dtype, dtype):
        return values.astype(dtype)
    if values.dtype.kind in "OUS" or dtype.kind in "UOb" or values.dtype.kind not in "iufb":
        return _cast_text(name, values, dtype, where)
    with np.errstate(all="ignore"):
        cast = values.astype(dtype)
        same = (cast.astype(values.dtype) == values) & _same_sign(cast, values)
        if values.dtype.kind == "f":
            same |= np.isnan(values) & (dtype.kind == "f")
        if rounds and dtype.kind == "f" and values.dtype.kind in "iuf":
            same |= np.isfinite(cast)
    if not same.all():
        at = int(np.argmin(same))
        raise SchemaMismatchError(
            f"{where}: column {name!r} of the bucket is {type_name(dtype)}, the data are "
            f"{type_name(values.dtype)} and {shown(values[at])} in row {at} does not fit; "
            "convert the column before writing, or create the bucket with a wider type"
        )
    return cast


def check_widening(key: str, old: Schema, new: Schema) -> None:
    """Whether a bucket may get this schema: all its columns, as wide or wider, and maybe more.

    Raises:
        SchemaMismatchError: rows would lose something; the text shows both schemas.
    """
    lost = [f"column {name!r} would be lost" for name in old.names if name not in new.dtypes]
    lost += [
        f"column {name!r} of {type_name(dtype)} does not fit into {type_name(new.dtypes[name])}"
        for name, dtype in old.columns
        if name in new.dtypes and not widens(dtype, new.dtypes[name])
    ]
    if (new.kind, new.identity, new.synthetic) != (old.kind, old.identity, old.synthetic):
        lost.append("its kind, its identity and whether it is synthetic stay what they are")
    if lost:
        raise SchemaMismatchError(
            f"{key} cannot be altered: {'; '.join(lost)}. It is {old}, and would become {new}"
        )


def check_origin(key: str, held: Schema, given: Schema | None) -> None:
    """Whether rows of which a writer says this belong into a bucket: made-up ones, or real ones.

    Args:
        key: of the bucket.
        held: the schema of the bucket.
        given: the schema that came with the rows; None says that they are real.

    Raises:
        SchemaMismatchError: the bucket holds the other ones.
    """
    is_synthetic = given is not None and given.synthetic
    if is_synthetic is held.synthetic:
        return
    if held.synthetic:
        raise SchemaMismatchError(
            f"{key} holds synthetic rows, and these do not say that they are; write real rows to "
            "another directory, or destroy the bucket first (made-up ones come with a Schema of "
            "synthetic=True)"
        )
    raise SchemaMismatchError(
        f"{key} holds real rows, and these are synthetic; write them to another directory, or "
        "destroy the bucket first"
    )


def widens(old: np.dtype[Any], new: np.dtype[Any]) -> bool:
    """Whether every value of one type is one of the other, and comes back."""
    if old.kind in "iu" and new.kind == "f":
        return old.itemsize < new.itemsize  # numpy takes i8 to f8 for safe
    if (old.kind == "U") != (new.kind == "U"):
        return False
    return np.can_cast(old, new, "safe")


def _same_sign(cast: NDArray[Any], values: NDArray[Any]) -> NDArray[np.bool_]:
    # -1 as u8 and back is -1 again: only the sign tells.
    return np.asarray((cast < 0) == (values < 0))


def _cast_text(name: str, values: NDArray[Any], dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    if dtype.kind == "U" and values.dtype.kind in "OU":
        texts = values.astype(str)
        if not len(texts) or texts.dtype.itemsize <= dtype.itemsize:
            return texts.astype(dtype)
        at = int(np.argmax(np.char.str_len(texts)))
        if len(str(texts[at])) <= dtype.itemsize // 4:
            return texts.astype(dtype)
        raise SchemaMismatchError(
            f"{where}: column {name!r} holds at most {dtype.itemsize // 4} characters and "
            f"{shown(texts[at])} in row {at} is longer; shorten it, or widen the column with alter"
        )
    raise SchemaMismatchError(
        f"{where}: column {name!r} of the bucket is {type_name(dtype)}, the data are "
        f"{values.dtype}, which cannot become that"
    )


def _check_name(name: str, seen: set[str], kind: RecordKind) -> None:
    if not isinstance(name, str) or name == "":  # type: ignore[redundant-expr]
        raise InvalidArgumentError(f"column name {name!r} is not text, or is empty")
    is_plain = name.isascii() and name.isidentifier()  # most are, and none of these is forbidden
    is_forbidden = not is_plain and re.search(_FORBIDDEN_IN_NAMES, name)
    if is_forbidden or len(name.encode()) > NAME_BYTES_MAX:
        raise InvalidArgumentError(
            f"column name {name[:40]!r} holds / , : or a control character, or is longer than "
            f"{NAME_BYTES_MAX} bytes"
        )
    if name == "Epoch" or (name == "Nanoseconds" and kind is RecordKind.VARIABLE):
        raise InvalidArgumentError(f"{name!r} is the time itself and cannot be a column as well")
    if name in seen:
        raise InvalidArgumentError(f"column {name!r} appears twice")
