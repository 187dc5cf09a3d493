"""Rows of REST's answers as columns. No I/O here.

Pages are decoded at once by their types; only when something in one does not fit is it taken apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from tsstore.columns import Columns
from tsstore.errors import ConfigError
from tsstore.typed import whole
from tsstore_massive.channels import channel_of
from tsstore_massive.decoding.rows import columns_of, records_of
from tsstore_massive.decoding.salvage import salvage
from tsstore_massive.faults import Faults

if TYPE_CHECKING:
    from collections import Counter

    from tsstore_massive.schemas import Kind
    from tsstore_massive.symbols import Market

_Row = TypeVar("_Row", bound=Struct)


@dataclass(frozen=True)
class Page:
    """Rows of one REST answer.

    Attributes:
        columns: the rows in the columns of their kind's schema, ascending in time.
        next_url: where the next rows are; None on the last page.
        faults: rows that could not be used and odd fields, by kind.
    """

    columns: Columns
    next_url: str | None
    faults: Counter[str]


class _Body(Struct, Generic[_Row], gc=False):
    results: list[_Row] | None = None
    next_url: str | None = None


class _RawBody(Struct, gc=False):
    results: list[msgspec.Raw] | None = None
    next_url: str | None = None


_RAW_BODY = msgspec.json.Decoder(_RawBody)


def decode_page(body: bytes, market: Market, kind: Kind) -> Page:
    """An answer of the endpoint that tells the rows of a kind.

    Ticks that the market's history does not number have Sequence and TradeID 0; see `identity`.

    Args:
        body: JSON.
        market: of the symbol that was asked for.
        kind: one that the market has a history of.

    Raises:
        msgspec.DecodeError: it is no such answer.
        ConfigError: the market has no such rows.
    """
    faults = Faults()
    row_type = _row_type(market, kind)
    decoded: Any
    try:
        decoded = _decoder(row_type).decode(body)
        rows = decoded.results or []
    except msgspec.ValidationError:
        decoded = _RAW_BODY.decode(body)
        salvaged = (salvage(raw, row_type, kind, faults) for raw in decoded.results or [])
        rows = [row for row in salvaged if row is not None]
    ts, arrays = columns_of(kind, [records_of(kind, rows)])
    columns = Columns(ts, arrays, variable=channel_of(market, kind).schema.is_variable)
    if len(ts) and (ts[1:] < ts[:-1]).any():
        columns = columns.take(np.argsort(ts, kind="stable"))
    return Page(columns, decoded.next_url, faults.counts)


def _row_type(market: Market, kind: Kind) -> type[Struct]:
    row_type = channel_of(market, kind).row
    if row_type is None:
        raise ConfigError(f"REST tells no {kind} of {market}; they come by the socket only")
    return row_type


@cache
def _decoder(row_type: type[Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(whole(_Body[row_type]), strict=False)  # type: ignore[valid-type]
