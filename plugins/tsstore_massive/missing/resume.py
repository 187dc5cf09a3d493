"""What is missing when a worker starts: since its last stop, and of today before it came.

A start goes on from where the connection streamed last (`streamed.py`), or from the last row of a
named symbol if that is older or all that is known. Where there is neither, the bars of today are
fetched if the symbol was named, from the first session on: one request, so whoever comes late has
the day. Of ticks, and of a whole market, only what comes from the start on. What lies further back
is fetched because somebody asks for it, by `query_start` or by command.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.errors import NotFoundError
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND
from tsstore_massive.channels import channel_of
from tsstore_massive.datasets import Dataset
from tsstore_massive.listing import LISTED
from tsstore_massive.missing.gaps import Stretch
from tsstore_massive.missing.missed import overlap_ns
from tsstore_massive.schemas import BAR_KINDS, STREAM_GROUPS
from tsstore_massive.symbols import market_of
from tsstore_massive.tradingdays import day_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsstore.api import StoreApi
    from tsstore_massive.config import Config
    from tsstore_massive.missing.streamed import Streamed
    from tsstore_massive.schemas import Kind

#: A start goes on from what is not older than this. What is older was no short stop.
RESUME_NS_MAX = 7 * NS_PER_DAY
#: Symbols that are missed since instants this close are fetched together.
RESUME_GRID_NS = 15 * 60 * NS_PER_SECOND
TOO_OLD = "more than 7 days were missed; fetch them with massive_backfiller"


class Start(NamedTuple):
    """What is missing at a start.

    Attributes:
        missed: to be fetched, up to where the connection streams.
        given_up: too old to be fetched without being asked for.
        seen_ns: up to when something came, of any symbol; 0 if nothing is known of it.
    """

    missed: list[Stretch]
    given_up: list[Stretch]
    seen_ns: int = 0


class _Known(NamedTuple):
    """What is known of a symbol.

    Attributes:
        symbol: as buckets spell it.
        row_ns: time of its last row.
        until_ns: up to when it was streamed.
    """

    symbol: str
    row_ns: int | None
    until_ns: int | None

    @property
    def instants(self) -> list[int]:
        return [ns for ns in (self.row_ns, self.until_ns) if ns is not None]

    @property
    def seen_ns(self) -> int:
        """Up to when nothing of it was missed."""
        return self.instants[-1]


def at_start(
    store: StoreApi,
    config: Config,
    symbols: tuple[str, ...] | None,
    before: Streamed,
    now_ns: int,
) -> Start:
    """What is missing of the symbols of a connection, None for all of its market."""
    start = Start([], [])
    row_ns = 0
    for kind in config.data_types:
        if symbols is None and (market := _market_since(store, config, before, kind, now_ns)):
            start.missed.extend(market)
            continue
        stored = dict(_last_stored(store, config, symbols, kind, now_ns))
        row_ns = max((row_ns, *stored.values()))
        known = _known(before, kind, {*stored, *(symbols or ())}, stored, now_ns)
        begun = _resumed(config, known, kind, now_ns, start)
        if channel_of(config.market, kind).has_history:
            start.missed.extend(_fresh(config, symbols, kind, begun, now_ns))
    until_ns = (ns for ns in before.until_ns.values() if ns <= now_ns)
    return start._replace(seen_ns=max(until_ns, default=row_ns))


def came_lately(store: StoreApi, config: Config, kind: Kind, now_ns: int) -> list[str]:
    """Symbols of the market that have had rows in the last days."""
    stored = _last_stored(store, config, None, kind, now_ns)
    return [symbol for symbol, last_ns in stored if last_ns >= now_ns - RESUME_NS_MAX]


def ticks_came(
    store: StoreApi, config: Config, symbols: tuple[str, ...], now_ns: int
) -> dict[tuple[Kind, str], int]:
    """Time of the last tick of each kind and symbol, up to now; ns since 1970 UTC."""
    kinds = [kind for kind in config.data_types if kind not in BAR_KINDS]
    return {
        (kind, symbol): last_ns
        for kind in kinds
        for symbol, last_ns in _last_stored(store, config, symbols, kind, now_ns)
    }


def today(kinds: Iterable[Kind], symbols: tuple[str, ...], now_ns: int) -> list[Stretch]:
    """Everything of today, of symbols of one market that are new."""
    return [Stretch(kind, symbols, _today_ns(kind, symbols[0], now_ns)) for kind in kinds]


def _today_ns(kind: Kind, symbol: str, now_ns: int) -> int:
    dataset = Dataset.of_stream(kind).of(market_of(symbol))
    return int(dataset.starts(np.array([day_in(dataset, now_ns)], "M8[D]"))[0])


def is_history(config: Config, kind: Kind) -> bool:
    """Whether the history that was asked for covers everything up to now anyway."""
    streamed = Dataset.of_stream(kind)
    return streamed in config.starts


def _market_since(
    store: StoreApi, config: Config, before: Streamed, kind: Kind, now_ns: int
) -> list[Stretch]:
    """What is missing of a market that was streamed as a whole and not long ago, else nothing.

    The store holds delisted shares and expired contracts too. The vendor's list knows who lives,
    and where there is none, the rows do.
    """
    until_ns = before.until_ns.get(kind) if before.symbols is None else None
    if until_ns is None or not now_ns - RESUME_NS_MAX <= until_ns <= now_ns:
        return []
    everyone = Stretch(kind, None, until_ns - overlap_ns(kind))
    if config.market in LISTED:
        return [everyone]
    lately = came_lately(store, config, kind, now_ns)
    return [everyone, replace(everyone, symbols=tuple(sorted(lately)))] if lately else [everyone]


def _known(
    before: Streamed, kind: Kind, symbols: Iterable[str], stored: Mapping[str, int], now_ns: int
) -> Iterator[_Known]:
    """Up to when each symbol has rows and was streamed, where there is anything."""
    for symbol in symbols:
        until_ns = before.of(kind, symbol)
        if until_ns is not None and until_ns > now_ns:  # as damaged as such a row
            until_ns = None
        known = _Known(symbol, stored.get(symbol), until_ns)
        if known.instants:
            yield known


def _resumed(
    config: Config, known: Iterable[_Known], kind: Kind, now_ns: int, start: Start
) -> set[str]:
    """Go on from what is known; returns the symbols of which that is recent."""
    oldest_ns = now_ns - RESUME_NS_MAX
    together: dict[int, list[str]] = {}
    old: dict[str, int] = {}
    for one in known:
        recent = [ns for ns in one.instants if ns >= oldest_ns]
        if recent:
            together.setdefault(min(recent) // RESUME_GRID_NS, []).append(one.symbol)
        # What trades rarely has an old row and was streamed all the same.
        if one.seen_ns < oldest_ns:
            old[one.symbol] = one.seen_ns
    for cell, some in together.items():
        start_ns = cell * RESUME_GRID_NS - overlap_ns(kind)
        start.missed.append(Stretch(kind, tuple(sorted(some)), start_ns))
    if old and not is_history(config, kind):
        old_ns = min(old.values()) - overlap_ns(kind)
        stretch = Stretch(kind, tuple(sorted(old)), old_ns)
        start.given_up.append(stretch.given_up(now_ns, TOO_OLD))
    return {symbol for some in together.values() for symbol in some}


def _fresh(
    config: Config,
    symbols: tuple[str, ...] | None,
    kind: Kind,
    begun: set[str],
    now_ns: int,
) -> list[Stretch]:
    """From the start on, and the bars of today of symbols without any."""
    from_now = Stretch(kind, symbols, now_ns - overlap_ns(kind))
    if symbols is None:  # a request for each symbol of the market, for the moment of a start
        return [from_now] if is_history(config, kind) else []
    new = tuple(symbol for symbol in symbols if symbol not in begun)
    if new and kind in BAR_KINDS:
        return [from_now, *today([kind], new, now_ns)]
    return [from_now]


def _last_stored(
    store: StoreApi, config: Config, symbols: tuple[str, ...] | None, kind: Kind, now_ns: int
) -> Iterable[tuple[str, int]]:
    """Symbols that the store has rows of, each with the time of the last one up to now."""
    group = STREAM_GROUPS[kind]
    if symbols is None:
        stored = (key.partition("/")[0] for key in store.list(f"*/{group}"))
        symbols = tuple(symbol for symbol in stored if market_of(symbol) == config.market)
    for symbol in symbols:
        try:
            last_ns = store.info(f"{symbol}/{group}").last_ns
        except NotFoundError:
            continue
        if last_ns is not None and last_ns > now_ns:
            # A damaged time from the future must not hide what is missing before it.
            rows = store.read(f"{symbol}/{group}", end=np.datetime64(now_ns, "ns"), limit=1)
            last_ns = int(rows.ts[-1]) if len(rows) else None
        if last_ns is not None:
            yield symbol, last_ns
