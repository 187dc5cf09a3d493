"""The JSON-RPC 2.0 envelope around MarketStore's and tsstore's methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tsstore.wire.codec import MSGPACK, Int64, MalformedBodyError, fields

INVALID_REQUEST = -32600
APPLICATION_ERROR = -32000
VERSION_HEADER = "Marketstore-Version"
#: What both ends say of a write whose answer is missing.
OUTCOME_UNKNOWN = "whether it stored the write is unknown: read it back before writing again"

_FIELDS = {"jsonrpc": "jsonrpc", "method": "method", "id": "id", "params": "params"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request.

    Attributes:
        method: its name, or "" when none was given.
        id: what the answer repeats; None means that no answer is wanted.
        params: parameters as they were decoded, {} when none were given.
        version: the `jsonrpc` field.
    """

    method: str
    id: Any
    params: Any
    version: Any


def read_call(decoded: Any) -> Call:
    """The request in a decoded body.

    Raises:
        MalformedBodyError: not a map, or its id is neither text nor a number.
    """
    found = fields(decoded, _FIELDS)
    if not isinstance(found.get("id"), str | bytes | int | float | None):
        raise MalformedBodyError("the id of a request is text or a number")
    method = found.get("method")
    params = found.get("params")
    if isinstance(params, list | tuple):  # positional parameters: the only one is the map
        params = params[0] if params else None
    return Call(
        method if isinstance(method, str) else "",
        found.get("id"),
        {} if params is None else params,
        found.get("jsonrpc"),
    )


def result_of(call: Call, result: Any) -> dict[str, Any]:
    """The answer of a call that went well."""
    return {"jsonrpc": "2.0", "result": result, "id": call.id}


def error_of(call: Call, code: int, message: str, data: Any = None) -> dict[str, Any]:
    """The answer of a call that failed."""
    error = {"code": Int64(code), "message": message, "data": data}
    return {"jsonrpc": "2.0", "error": error, "id": call.id}


def encode_call(method: str, params: Any) -> bytes:
    """The body of a request that wants an answer."""
    return MSGPACK.encode({"jsonrpc": "2.0", "method": method, "id": 1, "params": params})


class ErrorReply(msgspec.Struct):
    """The `error` of an answer; `data` holds what `exact.error_from_wire` needs."""

    message: str
    data: Any = None


class _Reply(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw()
    error: ErrorReply | None = None


_reply_decoder = msgspec.msgpack.Decoder(_Reply)


def decode_reply(body: bytes) -> msgspec.Raw | ErrorReply:
    """The result of an answer, still encoded, or its error.

    Raises:
        MalformedBodyError: not an answer.
    """
    try:
        reply = _reply_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBodyError(f"the answer is not msgpack-RPC: {error}") from None
    if reply.error is not None:
        return reply.error
    if not memoryview(reply.result).nbytes:
        raise MalformedBodyError("the answer has neither result nor error")
    return reply.result
