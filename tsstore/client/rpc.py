"""Calls of the `TsStore` service: parameters out, a result or the server's own exception back."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tsstore.errors import ConnectionFailedError
from tsstore.typed import whole
from tsstore.wire import exact
from tsstore.wire.codec import MalformedBodyError
from tsstore.wire.envelope import ErrorReply, decode_reply, encode_call

if TYPE_CHECKING:
    from tsstore.client.transport import Transport

_R = TypeVar("_R", bound=msgspec.Struct)


class Rpc:
    """Calls methods of one server. Thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self.url = transport.url
        self._transport = transport

    def call(
        self,
        method: str,
        params: msgspec.Struct,
        result: type[_R],
        *,
        repeatable: bool,
        patient: bool = False,
    ) -> _R:
        """Call a method.

        Args:
            method: `TsStore.Read`.
            params: its parameters.
            result: what its answer holds.
            repeatable: see `Transport.post`.
            patient: see there.

        Raises:
            TsStoreError: the server's exception, or ConnectionFailedError.
        """
        body = self._transport.post(
            encode_call(method, params), repeatable=repeatable, patient=patient
        )
        try:
            reply = decode_reply(body)
            if isinstance(reply, ErrorReply):
                raise exact.error_from_wire(reply.message, reply.data)
            found: _R = _decoder(result).decode(reply)
        except (MalformedBodyError, msgspec.DecodeError) as error:
            raise self.not_understood(str(error)) from None
        return found

    def not_understood(self, why: str) -> ConnectionFailedError:
        """The error for an answer that no server of this version gives."""
        return ConnectionFailedError(
            f"{self.url} does not answer like a tsstore server ({why}); "
            "check the address, and that both run the same version"
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


@cache
def _decoder(kind: type[msgspec.Struct]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(whole(kind))
