"""What people are told of a closed day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore_massive.rollup.compare import Differs
from tsstore_massive.rollup.writing import BARS_GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore_massive.rollup.writing import Closing

_EXAMPLES_MAX = 20
_COLUMNS = {
    Differs.OPEN: "Open",
    Differs.HIGH: "High",
    Differs.LOW: "Low",
    Differs.CLOSE: "Close",
    Differs.VOLUME: "Volume",
}


def counts(closing: Closing) -> dict[str, int]:
    """How many symbols differ in what; what none differs in is left out."""
    found = {
        bit.name.lower(): int(np.count_nonzero(closing.differs & int(bit)))
        for bit in Differs
        if bit.name
    }
    return {name: count for name, count in found.items() if count}


def examples(closing: Closing) -> list[str]:
    """The first symbols with what differs, one line each."""
    return [_line(closing, at) for at in np.flatnonzero(closing.differs)[:_EXAMPLES_MAX].tolist()]


def status(closing: Closing) -> dict[str, Any]:
    """For /heartbeat."""
    return {
        "closed": str(closing.day),
        "symbols": int(np.count_nonzero(closing.is_stored)),
        "official": int(np.count_nonzero(closing.official.known & closing.fits)),
        "made_up": int(np.count_nonzero(closing.is_stored & closing.tracked.synthetic)),
        "differ": int(np.count_nonzero(closing.differs)),
        "differences": counts(closing),
        "examples": examples(closing),
        "misfits": closing.tracked.symbols[~closing.fits].tolist(),
    }


def summary(closing: Closing) -> str:
    """One line for the log."""
    shown = status(closing)
    text = f"closed {closing.day}: {shown['symbols']:,} bars, {_origin(closing, shown)}"
    if shown["misfits"]:
        text += (
            f"; none of {len(shown['misfits']):,} symbols, such as {shown['misfits'][0]}, whose "
            f"{BARS_GROUP} has other columns: rename or destroy these buckets"
        )
    if not shown["differ"]:
        return text
    by_kind = ", ".join(f"{count:,} {name}" for name, count in shown["differences"].items())
    return f"{text}; {shown['differ']:,} differ ({by_kind}), such as {shown['examples'][0]}"


def _origin(closing: Closing, shown: Mapping[str, Any]) -> str:
    """Where the bars come from, for people."""
    if closing.tracked.synthetic.all():
        return "all made up, so the vendor has none to compare with"
    made_up = f", {shown['made_up']:,} made up" if shown["made_up"] else ""
    return f"{shown['official']:,} of them official{made_up}"


def _line(closing: Closing, at: int) -> str:
    symbol, bits = closing.tracked.symbols[at], Differs(int(closing.differs[at]))
    if Differs.MINUTES in bits:
        return f"{symbol}: no minutes of the day"
    if Differs.OFFICIAL in bits:
        return f"{symbol}: no bar of the vendor"
    ours, theirs = closing.made.columns, closing.official.columns
    parts = [
        f"{name.lower()} {ours[name][at]:.10g} by minutes, {theirs[name][at]:.10g} officially"
        for bit, name in _COLUMNS.items()
        if bit in bits
    ]
    return f"{symbol}: {'; '.join(parts)}"
