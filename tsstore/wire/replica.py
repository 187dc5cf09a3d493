"""Messages by which a replica follows its writer; see `tsstore.storage.shipping`."""

from __future__ import annotations

import msgspec


class ShipmentParams(msgspec.Struct, omit_defaults=True):
    """Parameters of `TsStore.Shipment`; the number of the manifest that the replica has."""

    manifest_number: int = 0


class ShipmentResult(msgspec.Struct):
    """Result of `TsStore.Shipment`; the fields of `Shipment`."""

    store_id: int
    lineage: int
    sequence: int
    newest: int
    manifest_number: int
    manifest: bytes
    loaded: list[tuple[str, int, int]]
    wal: list[tuple[int, int]]
    announced: tuple[int, int]


class PieceParams(msgspec.Struct):
    """Parameters of `TsStore.Piece`."""

    name: str
    offset: int
    length: int


class PieceResult(msgspec.Struct):
    """Result of `TsStore.Piece`: bytes of a file, fewer at its end."""

    data: bytes


class DigestParams(msgspec.Struct):
    """Parameters of `TsStore.Digest`."""

    name: str
    length: int


class DigestResult(msgspec.Struct):
    """Result of `TsStore.Digest`: XXH3-64 of the first bytes of a file."""

    digest: int


class AwaitParams(msgspec.Struct):
    """Parameters of `TsStore.Await`: how far the replica has come, and how long to wait."""

    mark: tuple[int, int, int]
    timeout_s: float


class AwaitResult(msgspec.Struct):
    """Result of `TsStore.Await`: sequence number of the writer's newest commit."""

    sequence: int
