"""Fields of protobuf messages, without a parser.

A parser makes an object of every field. For names and numbers that is right; but a request of
nothing but empty fields grows fifty times as large in memory, and columns are copied each way. So a
request is gone through once before it is parsed, which bounds its fields and takes the columns out,
and a reply is put together around its columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tsstore.errors import LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Buffer: TypeAlias = bytes | memoryview

#: Of one request. Parsed, each takes some hundred bytes.
FIELDS_MAX = 250_000

_DELIMITED = 2
_FIXED_BYTES = {1: 8, 5: 4}
_VARINT = 0
_VARINT_BYTES_MAX = 10


class MalformedMessageError(Exception):
    """Bytes that are no protobuf message."""


class Lifted:
    """A request without its columns, which are parts of the body, not copies of them.

    Attributes:
        body: the request; in place of a column stands its number, as text.
        columns: the columns, by number.
    """

    def __init__(self, body: bytes, path: Sequence[int], column: int | None = None) -> None:
        """Go through a request.

        Args:
            body: the request.
            path: field numbers that lead from message to message; others stay closed, and must
                hold nothing that is repeated.
            column: field of the innermost messages that is to be lifted out.

        Raises:
            MalformedMessageError: it ends within a field, or has kinds of fields that proto3 lacks.
            LimitExceededError: it has more than FIELDS_MAX fields.
        """
        self.columns: list[memoryview] = []
        self._fields = 0
        self._column = column
        rest = self._without_columns(memoryview(body), tuple(path))
        self.body = body if column is None else b"".join(rest)

    def _without_columns(self, message: memoryview, path: tuple[int, ...]) -> list[Buffer]:
        rest = list[Buffer]()
        end = 0
        while end < len(message):
            begin = end
            tag, at = _varint(message, begin)
            end = at
            number, kind = tag >> 3, tag & 7
            self._fields += 1
            if self._fields > FIELDS_MAX:
                raise LimitExceededError(
                    f"a request of more than {FIELDS_MAX} fields; send several smaller ones"
                )
            if kind == _DELIMITED:
                size, at = _varint(message, at)
                end = at + size
            elif kind == _VARINT:
                _, end = _varint(message, at)
            else:
                end = at + _fixed_bytes(kind)
            if end > len(message):
                raise MalformedMessageError("it ends within a field")
            if kind != _DELIMITED:
                rest.append(message[begin:end])
            elif path and number == path[0]:
                rest += delimited(number, self._without_columns(message[at:end], path[1:]))
            elif not path and number == self._column:
                rest += delimited(number, [b"%d" % len(self.columns)])
                self.columns.append(message[at:end])
            else:
                rest.append(message[begin:end])
        return rest


def delimited(number: int, parts: Iterable[Buffer]) -> list[Buffer]:
    """A field of bytes or of a message, as parts to be joined."""
    kept = list(parts)
    return [_tag(number), _as_varint(sum(map(len, kept))), *kept]


def _tag(number: int) -> bytes:
    return _as_varint(number << 3 | _DELIMITED)


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    if at < len(message) and message[at] < 0x80:  # as nearly all
        return message[at], at + 1
    value = 0
    for place, byte in enumerate(message[at : at + _VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise MalformedMessageError("it ends within a field, or holds a number without end")


def _fixed_bytes(kind: int) -> int:
    try:
        return _FIXED_BYTES[kind]
    except KeyError:
        raise MalformedMessageError(f"it has a field of kind {kind}") from None
