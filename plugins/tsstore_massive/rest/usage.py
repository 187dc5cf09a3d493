"""How many requests went out lately, by class of assets, as one record of fixed size.

Windows slide, so what holds for them holds for a vendor's minutes and days wherever they begin. A
window is a ring of cells; a request counts until the whole of its cell is out of the window, so it
is never forgotten too early and at most one cell too late. Its time is the one at which its answer
came: the vendor has counted it by then, however long it was under way.

Time is counted from the first use of the record on and goes only forward: by the clock that never
runs backwards, which all processes since the last start of the machine share. Over a start of the
machine it goes on by the time since, at least; for days, which a machine may sleep through, by the
wall clock if that says more. So a clock that is set back frees nothing.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

import numpy as np

from tsstore_massive.symbols import AssetClass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_NAMES: Final = ("all", *get_args(AssetClass))

#: What a plan with a limit allows in a minute at least: the vendor knows no smaller one.
SMALLEST_LIMIT = 5

_MINUTE_CELLS = 60
_DAY_CELL_S = 900.0
_SHOWN_DAY_CELLS = 96
#: A day in New York has up to 25 hours.
_DAY_CELLS = 100
#: Where what goes for the key as a whole stands in the arrays.
_WHOLE_KEY = 0

#: Two refusals so far apart have nothing to do with each other.
_LESSON_S = 600.0
_LESSON_S_MAX = 86_400.0

STATE = np.dtype(
    [
        ("boot", "S36"),
        ("monotonic", "<f8"),
        ("wall", "<i8"),
        ("minute_time", "<f8"),
        ("day_time", "<f8"),
        ("sent", "<u4", (len(_NAMES), _MINUTE_CELLS + 1)),
        ("granted", "<u2", (len(_NAMES), _MINUTE_CELLS + 1)),
        ("day", "<u4", (_DAY_CELLS + 1,)),
        ("paused_until", "<f8", (len(_NAMES),)),
        ("refused_at", "<f8", (len(_NAMES),)),
        ("limit", "<u4", (len(_NAMES),)),
        ("limit_until", "<f8", (len(_NAMES),)),
        ("lessons", "<u4", (len(_NAMES),)),
    ]
)


class Moment(NamedTuple):
    """What the machine's clocks say.

    Attributes:
        boot: tells one start of the machine from another, 1 to 36 bytes, none of them 0.
        monotonic_s: seconds since then that never run backwards.
        wall_ns: nanoseconds since 1970 UTC.
    """

    boot: bytes
    monotonic_s: float
    wall_ns: int


class Ticket(NamedTuple):
    """The leave to send one request.

    Attributes:
        row: of its class.
        minute_time: when it was given.
    """

    row: int
    minute_time: float


class Plan(NamedTuple):
    """What a plan allows.

    Attributes:
        per_minute: requests in any minute, for the key as a whole.
        per_day: requests in any day; None for any number.
        by_class: requests in any minute for a class of assets, where it is allowed less.
    """

    per_minute: int
    per_day: int | None = None
    by_class: Mapping[AssetClass, int] = MappingProxyType({})


class Lesson(NamedTuple):
    """A limit that the vendor turned out to have.

    Attributes:
        what: a class, or `all`.
        limit: requests a minute.
    """

    what: str
    limit: int


class Usage:
    """Counts and limits, over a record that may lie in a file.

    Args:
        state: one record of `STATE`, shape (1,), writable; zeros at first.
        minute_s: the length of the vendor's minute; another one only in tests.
    """

    def __init__(self, state: NDArray[np.void], minute_s: float = 60.0) -> None:
        self._state: Any = state[0]
        self._minute_s = minute_s
        self._cell_s = minute_s / _MINUTE_CELLS

    def advance(self, now: Moment) -> None:
        """Go on to the present."""
        state = self._state
        wall_s = (now.wall_ns - int(state["wall"])) / 1e9
        if not state["boot"]:  # the first use of all
            passed_s = wall_s = self._minute_s
        elif state["boot"] == now.boot:
            passed_s = max(0.0, now.monotonic_s - float(state["monotonic"]))
        else:
            passed_s = now.monotonic_s
            if passed_s < self._minute_s:
                # What was written last may have been lost with the machine's power.
                self._pause(_WHOLE_KEY, self._minute_s)
        self._move("minute_time", self._cell_s, passed_s, state["sent"], state["granted"])
        self._move("day_time", _DAY_CELL_S, max(passed_s, wall_s), state["day"])
        state["boot"], state["monotonic"] = now.boot, now.monotonic_s
        # A clock that was set back and is put right again has not gone on by the difference.
        state["wall"] = max(int(state["wall"]), now.wall_ns)

    def take(self, asset_class: AssetClass, plan: Plan) -> Ticket | float:
        """Count a request that is about to be sent, or tell for how many seconds it may not be."""
        row = _NAMES.index(asset_class)
        wait_s = self._wait_s(row, plan, plan.by_class.get(asset_class))
        if wait_s > 0:
            return wait_s
        state = self._state
        state["sent"][row, self._cell] += 1
        state["day"][self._day_cell] += 1
        return Ticket(row, float(state["minute_time"]))

    def answered(self, ticket: Ticket, *, granted: bool) -> None:
        """Count a request from now on, instead of from when it was sent."""
        sent, then = self._state["sent"], int(ticket.minute_time // self._cell_s)
        is_counted = int(self._state["minute_time"] // self._cell_s) - then <= _MINUTE_CELLS
        then %= _MINUTE_CELLS + 1
        if is_counted and sent[ticket.row, then]:
            sent[ticket.row, then] -= 1
        sent[ticket.row, self._cell] += 1
        if granted:
            self._state["granted"][ticket.row, self._cell] += 1

    def pause(self, seconds: float) -> None:
        """Let no request be sent for so long."""
        self._pause(_WHOLE_KEY, seconds)

    def refused(self, ticket: Ticket, seconds: float, *, for_sure: bool) -> Lesson | None:
        """The vendor says that it is too many: wait, and learn from it.

        One refusal may be a whim. If there is another one after the pause, there is a limit, which
        must be what was granted within the last minute. It holds for ten minutes, and twice as long
        each time it has to be learnt again. Where a class is refused that keeps to its limit, the
        limit is one of the whole key.

        Args:
            ticket: of the request that was refused.
            seconds: how long no request of its class may be sent.
            for_sure: whether the vendor said how long; then there is nothing to learn.

        Returns:
            The limit if a new one was learnt.
        """
        state, row = self._state, ticket.row
        now, before = float(state["minute_time"]), float(state["refused_at"][row])
        self._pause(row, seconds)
        if for_sure or ticket.minute_time <= before:  # was under way when another was refused
            return None
        state["refused_at"][row] = now
        if not before or now - before > _LESSON_S:
            return None
        granted = max(SMALLEST_LIMIT, int(state["granted"][row].sum()))
        known = self._learnt(row)
        if known is None or granted < known:
            return self._learn(row, granted)
        return self._learn(_WHOLE_KEY, max(SMALLEST_LIMIT, int(state["granted"].sum())))

    @property
    def in_minute(self) -> int:
        """Requests that count for the vendor's minute."""
        return int(self._state["sent"].sum())

    @property
    def in_day(self) -> int:
        """Requests of the last 24 hours."""
        ages = np.arange(_SHOWN_DAY_CELLS)
        return int(self._state["day"][(self._day_cell - ages) % (_DAY_CELLS + 1)].sum())

    def limits(self) -> dict[str, int]:
        """Limits a minute that were learnt from the vendor, by class or `all`."""
        learnt = {name: self._learnt(row) for row, name in enumerate(_NAMES)}
        return {name: limit for name, limit in learnt.items() if limit is not None}

    @property
    def _cell(self) -> int:
        return int(self._state["minute_time"] // self._cell_s) % (_MINUTE_CELLS + 1)

    @property
    def _day_cell(self) -> int:
        return int(self._state["day_time"] // _DAY_CELL_S) % (_DAY_CELLS + 1)

    def _move(self, name: str, cell_s: float, seconds: float, *rings: NDArray[Any]) -> None:
        before = float(self._state[name])
        self._state[name] = now = before + seconds
        first, last = int(before // cell_s) + 1, int(now // cell_s)
        for ring in rings:
            cells = ring.shape[-1]
            passed = np.arange(max(first, last - cells + 1), last + 1) % cells
            ring[..., passed] = 0

    def _pause(self, row: int, seconds: float) -> None:
        until = float(self._state["minute_time"]) + seconds
        self._state["paused_until"][row] = max(until, float(self._state["paused_until"][row]))

    def _wait_s(self, row: int, plan: Plan, class_limit: int | None) -> float:
        state = self._state
        sent, now = state["sent"], float(state["minute_time"])
        limit = min(plan.per_minute, self._learnt(_WHOLE_KEY) or plan.per_minute)
        waits_s = [
            float(state["paused_until"][_WHOLE_KEY]) - now,
            float(state["paused_until"][row]) - now,
            _free_in_s(sent.sum(0), now, self._cell_s, limit),
        ]
        of_class = [limit for limit in (class_limit, self._learnt(row)) if limit is not None]
        if of_class:
            waits_s.append(_free_in_s(sent[row], now, self._cell_s, min(of_class)))
        if plan.per_day is not None:
            day_time = float(state["day_time"])
            waits_s.append(_free_in_s(state["day"], day_time, _DAY_CELL_S, plan.per_day))
        return max(waits_s)

    def _learnt(self, row: int) -> int | None:
        state = self._state
        limit = int(state["limit"][row])
        return limit if limit and state["limit_until"][row] > state["day_time"] else None

    def _learn(self, row: int, limit: int) -> Lesson | None:
        state = self._state
        is_new = self._learnt(row) != limit
        holds_s = min(_LESSON_S * 2.0 ** min(int(state["lessons"][row]), 20), _LESSON_S_MAX)
        state["limit"][row] = limit
        state["limit_until"][row] = float(state["day_time"]) + holds_s
        state["lessons"][row] += 1
        return Lesson(_NAMES[row], limit) if is_new else None


def _free_in_s(ring: NDArray[Any], now: float, cell_s: float, limit: int) -> float:
    """Seconds until fewer than `limit` requests are left in a ring; 0 or less if they are."""
    excess = int(ring.sum()) - limit + 1
    if excess <= 0:
        return 0.0
    cell = int(now // cell_s)
    oldest_first = np.cumsum(np.roll(ring, -(cell + 1) % len(ring)))
    gone = int(np.searchsorted(oldest_first, excess))
    return (cell + 1 + gone) * cell_s - now
