"""When to fetch what does not stream: once a minute, after the connection was down for long."""

from __future__ import annotations

from tsstore.zones import NS_PER_SECOND

#: Bars of a minute are there some seconds after it.
_LATE_NS = 5 * NS_PER_SECOND
_MINUTE_NS = 60 * NS_PER_SECOND


class Polling:
    """Counts the minutes; not thread-safe.

    Args:
        after_s: how long a connection may be down before; 0 for never polling.

    Attributes:
        is_on: whether it polls.
        rounds: how often it has, since it began last.
    """

    def __init__(self, after_s: float) -> None:
        self.is_on = False
        self.rounds = 0
        self._after_s = after_s
        self._minute = 0

    def begin(self) -> None:
        """Poll from now on, however long the connection was down."""
        self.is_on = True

    def is_due(self, down_s: float, now_ns: int) -> bool:
        """Whether to fetch now, which then counts as done.

        Args:
            down_s: how long the connection has been down.
            now_ns: the wall clock, nanoseconds since 1970 UTC.
        """
        if not self._after_s or not (self.is_on or down_s >= self._after_s):
            return False
        minute = (now_ns - _LATE_NS) // _MINUTE_NS
        if minute == self._minute:
            return False
        self.is_on, self._minute = True, minute
        self.rounds += 1
        return True

    def end(self) -> bool:
        """The connection streams; whether there was anything to end."""
        was_on, self.is_on, self.rounds = self.is_on, False, 0
        return was_on
