"""What replicas ask of a server: `tsstore.replica` is the other end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tsstore.errors import InvalidArgumentError
from tsstore.server.lanes import Kind
from tsstore.storage.shipping import Mark
from tsstore.typed import whole
from tsstore.wire import replica
from tsstore.wire.codec import MalformedBodyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.clock import Clock
    from tsstore.server.served import ServedStore
    from tsstore.server.settings import ServerSettings

_P = TypeVar("_P", bound=msgspec.Struct)

_PIECE_BYTES_MAX = 16 << 20
_WAIT_S_MAX = 30.0


class ReplicaService:
    """Methods of `TsStore` for replicas. They are called from several threads."""

    def __init__(self, store: ServedStore, settings: ServerSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    def methods(self) -> dict[str, Callable[[Any], msgspec.Struct]]:
        """Functions by the name that replicas call."""
        return {
            "TsStore.Shipment": self.shipment,
            "TsStore.Piece": self.piece,
            "TsStore.Digest": self.digest,
            "TsStore.Await": self.wait,
        }

    def kinds(self) -> dict[str, Kind]:
        """Of the methods that are not short."""
        return {"TsStore.Await": Kind.WAIT}

    def shipment(self, params: Any) -> replica.ShipmentResult:
        """The store at this moment, as files."""
        asked = self._read(params, replica.ShipmentParams)
        return replica.ShipmentResult(*self._store.shipping.shipment(asked.manifest_number))

    def piece(self, params: Any) -> replica.PieceResult:
        """A piece of a file."""
        asked = self._read(params, replica.PieceParams)
        if asked.offset < 0 or not 0 < asked.length <= _PIECE_BYTES_MAX:
            raise InvalidArgumentError(
                f"bytes {asked.offset} to {asked.offset + asked.length} are no piece of a file; "
                f"ask for {_PIECE_BYTES_MAX} bytes at the most"
            )
        data = self._store.shipping.read(asked.name, asked.offset, asked.length)
        return replica.PieceResult(data)

    def digest(self, params: Any) -> replica.DigestResult:
        """The checksum of a file's beginning."""
        asked = self._read(params, replica.DigestParams)
        return replica.DigestResult(self._store.shipping.digest(asked.name, asked.length))

    def wait(self, params: Any) -> replica.AwaitResult:
        """Return once there is more than the replica has, or after some time."""
        asked = self._read(params, replica.AwaitParams)
        timeout_s = asked.timeout_s if 0 <= asked.timeout_s <= _WAIT_S_MAX else _WAIT_S_MAX
        shipping = self._store.shipping
        return replica.AwaitResult(shipping.wait(Mark(*asked.mark), timeout_s, self._clock))

    def _read(self, params: Any, kind: type[_P]) -> _P:
        if self._settings.replication_port is None:
            raise InvalidArgumentError(
                "this server serves no replicas; set `replication:` with `enabled: true` in its "
                "mkts.yml"
            )
        try:
            return msgspec.convert(params, whole(kind))
        except msgspec.ValidationError as error:
            raise MalformedBodyError(f"{kind.__name__}: {error}") from None
