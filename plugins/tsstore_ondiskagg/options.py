"""Options of the trigger."""

from __future__ import annotations

from typing import Literal

import msgspec

from tsstore.errors import InvalidKeyError
from tsstore.timeframe import Timeframe


class OnDiskAggConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Options of the trigger.

    Attributes:
        destinations: lengths of the bars to keep, such as `5Min`, `1H`, `1D`, `1W`, `3M`.
        filter: `nasdaq` makes bars of days and longer of market hours only.
    """

    destinations: list[str]
    filter: Literal["", "nasdaq"] = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what is no timeframe, which msgspec reports with its place."""
        if not self.destinations:
            raise ValueError("`destinations` is empty; list timeframes, such as [5Min, 1H, 1D]")
        try:
            for text in self.destinations:
                Timeframe.parse(text)
        except InvalidKeyError as error:
            raise ValueError(f"destinations: {error}") from None

    @property
    def timeframes(self) -> list[Timeframe]:
        """The destinations, shortest first, each once."""
        chosen = {Timeframe.parse(text) for text in self.destinations}
        return sorted(chosen, key=lambda timeframe: timeframe.duration_ns)
