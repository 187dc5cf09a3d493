"""What a share was called before: META has been FB until 9 June 2022.

Rows stay where the vendor has them, under the name of their day: FB's past is in `FB/1Min/OHLCV`,
and `META/1Min/OHLCV` of before that day, if there is any, is of another company that was called so
then. `META/24H/NAMES` ties them together: one row per name, from the day on from which it holds.
The backfiller fetches all names of a symbol, each for its own days; readers ask for them by
`read_through_names`.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore.api import Replace
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.times import to_ns
from tsstore_massive.reference.buckets import (
    EVER_NS,
    NAMES,
    NAMES_GROUP,
    action_times,
    day_column,
    text_column,
)
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    from tsstore.api import StoreApi
    from tsstore.times import TimeLike
    from tsstore_massive.rest.models import TickerEvents

_CHANGE = "ticker_change"


class Name(NamedTuple):
    """A symbol, and the days on which the share had it.

    Attributes:
        symbol: of the buckets.
        first: the first day.
        last: the last day, included.
    """

    symbol: str
    first: date
    last: date


def names_of(store: StoreApi, symbol: str) -> list[Name]:
    """What a share was called, in order of time; only `symbol` itself if nothing else is known.

    Args:
        store: where `sync_reference` wrote it down.
        symbol: what it is called now.
    """
    try:
        rows = store.read(f"{symbol}/{NAMES_GROUP}")
    except NotFoundError:
        rows = Columns.empty(NAMES)
    if len(rows) < 2 or rows.names != NAMES.names:  # the latter is somebody else's
        return [Name(symbol, date.min, date.max)]
    starts = rows.ts.astype("M8[ns]").astype("M8[D]").tolist()
    ends = [start - timedelta(days=1) for start in starts[1:]] + [date.max]
    return list(map(Name, rows["Symbol"].tolist(), starts, ends))


def read_through_names(
    store: StoreApi,
    symbol: str,
    group: str,
    *,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    **options: Any,
) -> Columns:
    """Rows of a share under all of its names, each for its own days, ascending in time.

    A bar of a week, month or year in which the name changed comes once under each name.

    Args:
        store: the store.
        symbol: what the share is called now.
        group: timeframe and attribute group, such as `1Min/OHLCV`.
        start: first instant.
        end: last instant.
        options: of `read`: `tz`, `columns` and `functions`.

    Raises:
        NotFoundError: none of the names has such a bucket.
    """
    tz = options.get("tz") or "UTC"
    first_ns = EVER_NS[0] if start is None else to_ns(start, tz)
    last_ns = EVER_NS[1] if end is None else to_ns(end, tz)
    parts = list[Columns]()
    for name in names_of(store, symbol):
        low, high = _span(name, group)
        low, high = max(low, first_ns), min(high, last_ns)
        if low > high:
            continue
        span = np.datetime64(low, "ns"), np.datetime64(high, "ns")
        key = f"{name.symbol}/{group}"
        try:
            parts.append(store.read(key, start=span[0], end=span[1], **options))
        except NotFoundError:
            continue
    if not parts:
        raise NotFoundError(f"{symbol}/{group}: there is no such bucket, under any of its names")
    return Columns.concat(parts)


def store_names(store: StoreApi, symbol: str, told: TickerEvents | None) -> bool:
    """Write down the names of a share; whether they are others than before.

    A name that no bucket can have, and what is no change of the name, is left out. When nothing is
    told, what is known stays: without it another company's past would be fetched as this one's.
    """
    changes = {
        event.date: bucket_symbol(event.ticker_change.ticker)
        for event in (told.events if told is not None else ())
        if event.type == _CHANGE and event.ticker_change is not None
    }
    named = sorted((day, name) for day, name in changes.items() if name is not None)
    if not changes:
        return False
    if len(named) < 2:  # the first name of a share is told as a change as well
        named = []
    known = [(name.first, name.symbol) for name in names_of(store, symbol)]
    if named == known or (not named and len(known) == 1):
        return False
    times = day_column([day for day, _ in named])
    rows = Columns(times, {"Symbol": text_column([name for _, name in named], NAMES, "Symbol")})
    key = f"{symbol}/{NAMES_GROUP}"
    ever = np.datetime64(EVER_NS[0], "ns"), np.datetime64(EVER_NS[1], "ns")
    store.commit([Replace(key, *ever, rows, NAMES)])
    return True


def _span(name: Name, group: str) -> tuple[int, int]:
    """First and last instant to ask for; a bar of a day is found by any instant of the day."""
    is_calendar = group.partition("/")[0][-1:] in "DWMY"
    low, high = EVER_NS
    if name.first > date.min:
        low = int(action_times([name.first])[0])
    if name.last < date.max:
        end = name.last if is_calendar else name.last + timedelta(days=1)
        high = int(action_times([end])[0]) - (not is_calendar)
    return low, high
