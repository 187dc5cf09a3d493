"""Why a bar is not there."""

from __future__ import annotations

import enum


class Reason(enum.IntEnum):
    """Why a bar is not there; the number is what arrays hold."""

    UNKNOWN = 0
    NO_TRADES = 1
    NO_BAR_TRADES = 2
    HALTED = 3
    NOT_ENTITLED = 4
    VENDOR_MISSING = 5
    VENDOR_HAS_NONE = 6
    WRITTEN_DOWN = 7
    FEED_DOWN = 8
    NOT_FETCHED = 9

    @property
    def text(self) -> str:
        """For people, in a few words."""
        return _TEXTS[self]

    @property
    def is_settled(self) -> bool:
        """Whether it is known for sure that nothing is to be fetched."""
        return self in _SETTLED


_TEXTS = {
    Reason.UNKNOWN: "unexplained; --ask-vendor asks",
    Reason.NO_TRADES: "no trades",
    Reason.NO_BAR_TRADES: "trades that make no bar",
    Reason.HALTED: "halted",
    Reason.NOT_ENTITLED: "not in the plan of the key",
    Reason.VENDOR_MISSING: "the vendor has trades and no bar",
    Reason.VENDOR_HAS_NONE: "the vendor has none; --ask-vendor looks for trades",
    Reason.WRITTEN_DOWN: "missed, the worker fetches it",
    Reason.FEED_DOWN: "the feed was down; massive_backfiller fetches it",
    Reason.NOT_FETCHED: "not fetched; massive_backfiller does",
}
_SETTLED = frozenset(
    {
        Reason.NO_TRADES,
        Reason.NO_BAR_TRADES,
        Reason.HALTED,
        Reason.NOT_ENTITLED,
        Reason.VENDOR_MISSING,
    }
)
