"""What a voice is, and what the voices of several markets share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsstore_massive_simulator import restrows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tsstore_massive_simulator.rows import Rows
    from tsstore_massive_simulator.sources import Asked, Source


def same(ticker: str) -> str:
    """Names that are the same everywhere."""
    return ticker


@dataclass(frozen=True)
class Voice:
    """How a market speaks.

    Attributes:
        market: whose voice it is.
        channels: what makes the events of each channel.
        silent: channels that the vendor has and the simulator has no data for.
        ticker_of: the ticker by its name on the socket.
        bar_name: how REST calls a ticker when it is asked for bars.
        trades: rows of `/v3/trades`, None where there is no such thing.
        quotes: rows of `/v3/quotes`, None where there is no such thing.
        bars: rows of the aggregates.
        locale: as paths have it.
        asset_class: as reference data and snapshots call the market.
    """

    market: str
    channels: Mapping[str, Callable[[Asked], Source]]
    silent: frozenset[str] = field(default=frozenset({"LV"}))
    ticker_of: Callable[[str], str] = same
    bar_name: Callable[[str], str] = same
    trades: Callable[[Rows], Sequence[Any]] | None = None
    quotes: Callable[[Rows], Sequence[Any]] | None = None
    bars: Callable[..., Sequence[Any]] = restrows.rest_bars
    asset_class: str = ""
