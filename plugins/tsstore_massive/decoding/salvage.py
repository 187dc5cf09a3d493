"""What can be used of a message that does not decode as a whole.

A bad element costs itself, and a bad optional field costs that field. Both are counted.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from tsstore_massive.decoding.fields import id_number

if TYPE_CHECKING:
    from msgspec import Struct

    from tsstore_massive.faults import Faults

#: What msgspec raises for bytes that are not what they should be.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
#: What looks like one object, holding at most one more level of objects.
_OBJECT = re.compile(rb"\{(?:[^{}]|\{[^{}]*\})*+\}")
_FLAT_OBJECT = re.compile(rb"\{[^{}]*\}")


def elements(frame: bytes, faults: Faults) -> list[Any]:
    """The elements of a frame; of one that is no JSON, whatever in it still looks like one."""
    try:
        return _ELEMENTS.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        if _is_json(frame):
            return [frame]
    faults.add("frame that is no JSON", frame)
    found = list[bytes]()
    for match in _OBJECT.finditer(frame):
        candidate = match[0]
        nested = b"{" in candidate[1:] and not _is_json(candidate)
        found.extend(_FLAT_OBJECT.findall(candidate) if nested else [candidate])
    return found


def event_name(element: bytes) -> str | None:
    """What an element says it is; None when it says nothing."""
    try:
        message = msgspec.json.decode(element)
    except DECODE_ERRORS:
        return None
    name = message.get("ev") if isinstance(message, dict) else None
    return name if isinstance(name, str) else None


def salvage(element: Any, row_type: type[Struct], what: str, faults: Faults) -> Any:
    """One element read field by field: odd optional fields are left out; None without the rest."""
    try:
        message = msgspec.json.decode(element)
    except DECODE_ERRORS:
        message = None
    if not isinstance(message, dict):
        faults.add(f"malformed {what}", bytes(element))
        return None
    values = {}
    for spec in _fields(row_type):
        value = message.get(spec.encode_name)
        if value is None:
            continue
        try:
            values[spec.name] = _convert_field(spec, value)
        except msgspec.ValidationError:
            faults.add(f"odd field {spec.encode_name} of {what}", bytes(element))
    try:
        return row_type(**values)
    except TypeError:  # a required field is missing or was odd
        faults.add(f"malformed {what}", bytes(element))
        return None


@cache
def _fields(row_type: type[Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(row_type)


def _convert_field(spec: msgspec.structs.FieldInfo, value: Any) -> Any:
    if spec.name == "trade_id" and isinstance(value, str):
        return id_number(value)
    return msgspec.convert(value, spec.type, strict=False)


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except DECODE_ERRORS:
        return False
    return True
