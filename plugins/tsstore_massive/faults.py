"""What was wrong with messages, by kind: counted always, told once.

A bad message costs itself only, so the count is the one trace it leaves. What a hostile sender puts
into messages cannot make the table of kinds grow.
"""

from __future__ import annotations

from collections import Counter

#: Kinds told apart; further ones are counted together.
KINDS_MAX = 100
OTHER = "other"
_NAME_CHARACTERS_MAX = 60
_SAMPLE_BYTES_MAX = 200


class Faults:
    """Counts by kind, with a sample of the first of each.

    Attributes:
        counts: kind to number of times.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._untold: list[tuple[str, str]] = []

    def add(self, kind: str, sample: bytes = b"", *, times: int = 1) -> None:
        """Count one, or several of the same."""
        name = kind[:_NAME_CHARACTERS_MAX]
        if name not in self.counts:
            if len(self.counts) >= KINDS_MAX:
                name = OTHER
            if name not in self.counts:
                shown = bytes(sample[:_SAMPLE_BYTES_MAX]).decode(errors="backslashreplace")
                self._untold.append((name, shown))
        self.counts[name] += times

    def take_untold(self) -> list[tuple[str, str]]:
        """Kinds seen for the first time since the last call, each with a sample, for the log."""
        untold, self._untold = self._untold, []
        return untold
