"""Rows of answers as structs: a row that does not fit costs itself, and is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tsstore.typed import whole
from tsstore_massive.rest.replies import RetryableError, check_empty

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True)
class Rows(Generic[T]):
    """Rows of one answer.

    Attributes:
        rows: in the order in which they came.
        next_url: where the next ones are; None on the last page.
        faults: rows that could not be used, by kind.
    """

    rows: list[T]
    next_url: str | None
    faults: Counter[str]


def rows_of(row_type: type[T], name: str = "results") -> Callable[[bytes], Rows[T]]:
    """A decoder of answers that hold a list.

    Args:
        row_type: of the rows.
        name: what the list is called in the answer.

    The decoder raises RetryableError for an answer without rows that does not say it is in order,
    or of whose rows none can be used.
    """
    typed, raw = _decoders(row_type, name)  # type: ignore[arg-type]

    def decode(body: bytes) -> Rows[T]:
        faults = Counter[str]()
        try:
            decoded = typed.decode(body)
            rows = decoded.rows or []
        except msgspec.ValidationError:
            decoded = raw.decode(body)
            rows = _salvaged(row_type, decoded.rows or [], faults)
        if not rows and faults:
            raise RetryableError(f"no row of the answer can be used ({', '.join(faults)})")
        if not rows:
            check_empty(body)
        return Rows(rows, decoded.next_url, faults)

    return decode


def value_of(row_type: type[T], name: str = "results") -> Callable[[bytes], T]:
    """A decoder of answers that hold one value, under a name."""
    kind: Any = row_type
    decoder = _value_decoder(kind, name)

    def decode(body: bytes) -> T:
        value: T = decoder.decode(body).value
        return value

    return decode


@cache
def _value_decoder(row_type: Any, name: str) -> msgspec.json.Decoder[Any]:
    fields: list[Any] = [("value", row_type, msgspec.field(name=name))]
    return msgspec.json.Decoder(whole(msgspec.defstruct("Answer", fields)), strict=False)


@cache
def _decoders(
    row_type: Any, name: str
) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    def answer(kind: Any) -> msgspec.json.Decoder[Any]:
        fields: list[Any] = [
            ("rows", list[kind] | None, msgspec.field(name=name, default=None)),
            ("next_url", str | None, None),
        ]
        return msgspec.json.Decoder(whole(msgspec.defstruct("Answer", fields)), strict=False)

    return answer(row_type), answer(msgspec.Raw)


def _salvaged(row_type: type[T], raws: list[msgspec.Raw], faults: Counter[str]) -> list[T]:
    rows = list[T]()
    for raw in raws:
        try:
            rows.append(msgspec.json.decode(raw, type=whole(row_type), strict=False))
        except (msgspec.DecodeError, UnicodeDecodeError):
            faults[f"malformed {row_type.__name__.lower()}"] += 1
    return rows
