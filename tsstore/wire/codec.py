"""Bodies of requests and answers: msgpack and JSON.

Requests come from anyone, so lengths and nesting are limited before anything is allocated. Answers
are written the way MarketStore writes them: integers that it declares as int64 take nine bytes.
"""

from __future__ import annotations

import struct
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import msgpack
import msgspec
import numpy as np

from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Of one list or map, and of all in a body. Decoded, an item takes up to some hundred bytes.
ITEMS_MAX = 1_000_000
_ITEMS_OF_BODY_MAX = 2 * ITEMS_MAX
# By type of numpy scalar: the tag byte and the big-endian value behind it, packed at once.
_NUMPY_PACKERS: dict[type, Callable[[Any], bytes]] = {
    kind: partial(struct.Struct(f">B{code}").pack, tag)
    for kind, tag, code in (
        (np.uint8, 0xCC, "B"),
        (np.uint16, 0xCD, "H"),
        (np.uint32, 0xCE, "I"),
        (np.uint64, 0xCF, "Q"),
        (np.int8, 0xD0, "b"),
        (np.int16, 0xD1, "h"),
        (np.int32, 0xD2, "i"),
        (np.int64, 0xD3, "q"),
        (np.float32, 0xCA, "f"),
        (np.float64, 0xCB, "d"),
    )
}
# Stands for the bytes of an `Octets` until the body is cut into parts. Nobody outside can know it.
_HOLE = uuid4().bytes
_BIN32 = 0xC6
_ALONE_BYTES = range(1 << 16, 1 << 32)  # larger ones have no form in msgpack
_pack_bin32 = struct.Struct(">BI").pack
_pack_int64 = _NUMPY_PACKERS[np.int64]


class MalformedBodyError(InvalidArgumentError):
    """A body that is not what its content type says, or that is beyond the limits."""


class Int64:
    """An integer that msgpack writes as int64, whatever its value.

    Not a dataclass: msgspec would write one as a map.
    """

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


#: The body of an answer; its parts follow each other.
Body = list[bytes | memoryview]


class Octets:
    """Bytes of an answer; if they are many, they go out from where they lie."""

    __slots__ = ("view",)

    def __init__(self, view: memoryview) -> None:
        self.view = view


class Codec(Protocol):
    """How the bodies of one content type are read and written."""

    content_type: str

    def decode(self, body: bytes) -> Any:
        """Values of a body; raises MalformedBodyError."""
        ...

    def encode(self, value: Any) -> bytes:
        """The body of a value."""
        ...

    def parts(self, value: Any) -> Body:
        """The body of a value, in parts that follow each other."""
        ...


class MsgpackCodec:
    """`application/x-msgpack`."""

    content_type = "application/x-msgpack"

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_to_msgpack)

    def decode(self, body: bytes) -> Any:
        """Values of a body.

        msgspec would be faster, but it refuses maps whose keys are bytes, which old clients send.

        Raises:
            MalformedBodyError: not msgpack, cut short, bytes left over, too deep or too long.
        """
        try:
            return _unpacked(body, "strict")
        except UnicodeDecodeError:
            pass
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
            raise _no_msgpack(error) from None
        try:
            decoded = _unpacked(body, "surrogateescape")
            _check_text(decoded)
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
            raise _no_msgpack(error) from None
        return decoded

    def encode(self, value: Any) -> bytes:
        """The body of a value; arrays are given as memoryviews."""
        return self._encoder.encode(value)

    def parts(self, value: Any) -> Body:
        """The body of a value; `Octets` that are large are parts of their own, and not copied."""
        holes: list[memoryview] = []

        def to_msgpack(value: object) -> Any:
            if not isinstance(value, Octets) or value.view.nbytes not in _ALONE_BYTES:
                return _to_msgpack(value)
            holes.append(value.view)
            return msgspec.Raw(_pack_bin32(_BIN32, value.view.nbytes) + _HOLE)

        around = msgspec.msgpack.Encoder(enc_hook=to_msgpack).encode(value)
        if not holes:
            return [around]
        parts: Body = []
        for text, hole in zip_longest(around.split(_HOLE), holes, fillvalue=b""):
            parts += (text, hole)
        return [part for part in parts if len(part)]


class JsonCodec:
    """`application/json`; bytes are base64 text."""

    content_type = "application/json; charset=utf-8"

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder(enc_hook=_to_json)

    def decode(self, body: bytes) -> Any:
        """Values of a body.

        Raises:
            MalformedBodyError: not JSON, cut short, or too deep.
        """
        # Those in strings count as well; base64 has none.
        items = sum(map(body.count, (b",", b"[", b"{")))
        if items > _ITEMS_OF_BODY_MAX:
            raise _too_many_items()
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise MalformedBodyError(f"the body is not JSON: {_reason(error)}") from None

    def encode(self, value: Any) -> bytes:
        """The body of a value."""
        return self._encoder.encode(value)

    def parts(self, value: Any) -> Body:
        """The body of a value, whole: as base64 nothing stays where it lies."""
        return [self._encoder.encode(value)]


class _ItemCount:
    """Counts what is in the lists and maps of a body, as they come into being."""

    def __init__(self) -> None:
        self._items = 0

    def __call__(self, container: Any) -> Any:
        self._items += 1 + len(container)
        if self._items > _ITEMS_OF_BODY_MAX:
            raise _too_many_items()
        return container

    def and_columns(self, container: dict[Any, Any]) -> dict[Any, Any]:
        """Count a map, and make bytes of columns that came as text.

        Before msgpack had a type for bytes, they went as text, and old clients still send them so.
        """
        columns = container.get("data")
        if isinstance(columns, list):
            container["data"] = [_octets(column) for column in columns]
        self(container)
        return container


def _unpacked(body: bytes, unicode_errors: str) -> Any:
    count = _ItemCount()
    return msgpack.unpackb(
        body,
        unicode_errors=unicode_errors,
        list_hook=count,
        object_hook=count.and_columns,
        strict_map_key=False,
        max_array_len=ITEMS_MAX,
        max_map_len=ITEMS_MAX,
        max_ext_len=0,
    )


def _check_text(value: Any) -> None:
    """Refuse text that is none and is no column either. Raises UnicodeEncodeError."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and not item.isascii():
            item.encode()


def _no_msgpack(error: Exception) -> MalformedBodyError:
    if isinstance(error, MalformedBodyError):
        return error
    return MalformedBodyError(f"the body is not msgpack: {_reason(error)}")


def _octets(column: Any) -> Any:
    return column.encode("utf-8", "surrogateescape") if isinstance(column, str) else column


def _too_many_items() -> MalformedBodyError:
    return MalformedBodyError(f"the body has more than {_ITEMS_OF_BODY_MAX} items; send less")


def _reason(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _to_msgpack(value: object) -> Any:
    pack = _NUMPY_PACKERS.get(type(value))
    if pack is not None:
        return msgspec.Raw(pack(value))
    if isinstance(value, Int64):
        return msgspec.Raw(_pack_int64(value.value))
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Octets):
        return value.view
    raise TypeError(f"{type(value)} has no form on the wire")


def _to_json(value: object) -> Any:
    if isinstance(value, Int64):
        return value.value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Octets):
        return value.view
    raise TypeError(f"{type(value)} has no form on the wire")


MSGPACK = MsgpackCodec()
JSON = JsonCodec()


def plain_name(key: object) -> str:
    """A field's name as both codecs understand it: no case, no underscores (`EpochStart`)."""
    text = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
    return text.lower().replace("_", "")


def fields(raw: object, names: Mapping[str, str]) -> dict[str, Any]:
    """The known fields of a map, under their own names; unknown ones are left out.

    Args:
        raw: a decoded map with str or bytes keys, in any of the spellings of a field.
        names: plain name to field name.

    Raises:
        MalformedBodyError: not a map.
    """
    if not isinstance(raw, dict):
        raise MalformedBodyError(f"expected a map of parameters, got {type(raw).__name__}")
    found = {}
    for key, value in raw.items():
        name = names.get(plain_name(key))
        if name is not None:
            found[name] = value
    return found
