"""Fetching reference data: everything once, and from then on what may have changed.

A refresh replaces what is stored from thirty days before the last one on, in the future too: there
are splits that are announced, and some that are withdrawn. Older ones are fetched again with
`whole`. What is the same is not written, so a refresh that finds nothing new changes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tsstore.clock import SystemClock
from tsstore.zones import NS_PER_SECOND
from tsstore_massive.errors import BadResponseError
from tsstore_massive.misfits import misfit, misfits_among
from tsstore_massive.reference.actions import ACTIONS
from tsstore_massive.reference.buckets import BUCKETS
from tsstore_massive.reference.ledger import EVERY_SYMBOL, Ledger
from tsstore_massive.reference.names import store_names
from tsstore_massive.reference.tickers import active_symbols, known_symbols, store_tickers
from tsstore_massive.sessions import day_of
from tsstore_massive.symbols import bars_symbol, bucket_symbol, market_of
from tsstore_massive.texts import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.rest import RestClient
    from tsstore_massive.rest.models import Ticker
    from tsstore_massive.schemas import ReferenceKind

KINDS: tuple[ReferenceKind, ...] = ("splits", "dividends", "tickers", "names")

#: How old what is stored may be before it is due again.
DUE_NS = 20 * 3600 * NS_PER_SECOND
#: Days before the last refresh that are fetched again.
OVERLAP = timedelta(days=30)
#: Symbols from which on a list of everything costs fewer requests than asking for each of them.
_LIST_FROM = {"splits": 30, "dividends": 500, "tickers": 15, "delisted": 40}
_NAMES_AT_A_TIME = 50


@dataclass
class Report:
    """What was done.

    Attributes:
        changed: symbols with other rows than before, by kind.
        unusable: what the vendor told and cannot be, or cannot be stored, by reason.
        unknown: symbols of which the vendor knows no ticker.
    """

    changed: Counter[ReferenceKind] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)


def sync_reference(
    store: StoreApi,
    rest: RestClient,
    symbols: Sequence[str] | None = None,
    *,
    clock: Clock | None = None,
    kinds: Iterable[ReferenceKind] | None = None,
    whole: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Report:
    """Bring reference data up to date; may be repeated at any time, and after any crash.

    Args:
        store: where they go, see `buckets.py`.
        rest: the vendor.
        symbols: of buckets; None for every stock.
        clock: says what day it is; the machine's if left out.
        kinds: which of them; None for all, but of every stock no names, which cost a request each.
        whole: whether everything is fetched again.
        on_step: told what is about to be done.

    Raises:
        BadResponseError: the vendor has nothing where the store has rows of the whole market.
        MassiveError: the vendor did not give it; what was stored before stays.
        TsStoreError: the store refused it.
    """
    run = _Sync(store, rest, symbols, clock=clock or SystemClock(), whole=whole)
    if kinds is None:
        kinds = KINDS if symbols is not None else [kind for kind in KINDS if kind != "names"]
    for kind in kinds:
        on_step(f"{kind} of {'the market' if symbols is None else counted(len(symbols), 'symbol')}")
        run.fetch(kind)
    return run.report


def is_due(
    store: StoreApi, kind: ReferenceKind, symbols: Sequence[str] | None, now_ns: int
) -> bool:
    """Whether some symbol of a kind was not refreshed within the last day.

    Args:
        store: which says so.
        kind: of reference data.
        symbols: of buckets; None for every stock.
        now_ns: the wall clock, nanoseconds since 1970 UTC.
    """
    if symbols is None:
        scope = [] if kind == "names" else [EVERY_SYMBOL]
    else:
        scope = list(symbols) if kind == "tickers" else _stocks(symbols)
    ledger = Ledger(store, now_ns)
    entries = ((symbol, ledger.find(kind, symbol)) for symbol in scope)
    due = (
        symbol for symbol, entry in entries if entry is None or entry.latest_ns < now_ns - DUE_NS
    )
    group, schema = BUCKETS[kind]
    return any(
        symbol == EVERY_SYMBOL or misfit(store, f"{symbol}/{group}", schema) is None
        for symbol in due
    )


def _stocks(symbols: Sequence[str]) -> list[str]:
    """Only stocks have splits, dividends, and other names."""
    return [symbol for symbol in symbols if market_of(symbol) == "stocks"]


class _Sync:
    """One run."""

    def __init__(
        self,
        store: StoreApi,
        rest: RestClient,
        symbols: Sequence[str] | None,
        *,
        clock: Clock,
        whole: bool,
    ) -> None:
        self.report = Report()
        self._store = store
        self._rest = rest
        self._wanted = None if symbols is None else sorted(set(symbols))
        # Those of them that can be stored, of the kind that is being fetched.
        self._symbols = self._wanted
        self._misfits: dict[str, str] = {}
        self._whole = whole
        self._now_ns = clock.now_ns()
        self._today = day_of(self._now_ns)
        self._ledger = Ledger(store, self._now_ns)

    def fetch(self, kind: ReferenceKind) -> None:
        """Bring one kind up to date."""
        self._leave_out_misfits(kind)
        if kind == "tickers":
            self._tickers()
        elif kind == "names":
            self._names()
        else:
            self._actions(kind)

    def _leave_out_misfits(self, kind: ReferenceKind) -> None:
        """Buckets that take no rows of a kind cost their symbols, and no other."""
        wanted = None if self._wanted is None else set(self._wanted)
        group, schema = BUCKETS[kind]
        self._misfits = misfits_among(
            self._store, {group: schema}, lambda symbol: wanted is None or symbol in wanted
        )
        # The market's ledger speaks of every symbol, so a later refresh would bring the newer rows.
        is_partial = self._wanted is None and kind in ACTIONS
        self.report.unusable.update(
            f"{why}; then run massive_reference --symbols {symbol} --whole" if is_partial else why
            for symbol, why in self._misfits.items()
        )
        if self._wanted is not None:
            self._symbols = self._fitting(self._wanted)

    def _fitting(self, symbols: Iterable[str]) -> list[str]:
        return [symbol for symbol in symbols if symbol not in self._misfits]

    # Splits and dividends.

    def _actions(self, kind: ReferenceKind) -> None:
        scope = [EVERY_SYMBOL] if self._symbols is None else _stocks(self._symbols)
        entries = {symbol: self._ledger.find(kind, symbol) for symbol in scope}
        begun = [symbol for symbol in scope if entries[symbol] is not None and not self._whole]
        new = [symbol for symbol in scope if symbol not in begun]
        if new:
            self._fetch_actions(kind, new, None)
            self._ledger.note(kind, new, self._now_ns, whole=True)
        if begun:
            latest_ns = min(entry.latest_ns for symbol in begun if (entry := entries[symbol]))
            self._fetch_actions(kind, begun, day_of(latest_ns) - OVERLAP)
            self._ledger.note(kind, begun, self._now_ns, whole=False)

    def _fetch_actions(self, kind: ReferenceKind, scope: Sequence[str], first: date | None) -> None:
        action, ask = ACTIONS[kind], getattr(self._rest, kind)
        # Of some weeks, the list of all symbols is a page or a few.
        is_list = len(scope) > (2 if first is not None else _LIST_FROM[kind])
        if self._symbols is None or is_list:
            told: Iterator[Any] = ask(first=first)
        else:
            told = (row for symbol in scope for row in ask(bars_symbol(symbol), first))
        wanted = set(scope)
        found = action.gather(
            told,
            lambda symbol: (
                not wanted.isdisjoint((EVERY_SYMBOL, symbol)) and symbol not in self._misfits
            ),
        )
        stored = action.stored(self._store, None if self._symbols is None else scope, first)
        stored = {symbol: stored[symbol] for symbol in self._fitting(stored)}
        if self._symbols is None:
            self._refuse_nothing(kind, len(stored), len(found.rows))
        self.report.changed[kind] += action.store(self._store, found, stored, first)
        self.report.unusable += found.unusable

    def _refuse_nothing(self, kind: ReferenceKind, stored: int, found: int) -> None:
        if stored and not found:
            raise BadResponseError(
                f"the vendor has no {kind} at all, and the store has those of {stored} symbols; "
                "they were kept, run again later"
            )

    # Tickers.

    def _tickers(self) -> None:
        if self._symbols is None:
            self._all_tickers()
        elif len(self._symbols) > _LIST_FROM["tickers"]:
            self._listed_tickers(self._symbols)
        else:
            self._store_tickers(self._asked_one_by_one(self._symbols))
        scope = [EVERY_SYMBOL] if self._symbols is None else self._symbols
        self._ledger.note("tickers", scope, self._now_ns, whole=True)

    def _all_tickers(self) -> None:
        known = active_symbols(self._store, self._fitting(known_symbols(self._store)))
        listed = list(self._rest.ticker_list(market="stocks"))
        self._refuse_nothing("tickers", len(known), len(listed))
        names = {bucket_symbol(ticker.ticker) for ticker in listed}
        gone = [symbol for symbol in known if symbol not in names and market_of(symbol) == "stocks"]
        self._store_tickers([*listed, *self._delisted(gone)])

    def _listed_tickers(self, symbols: Sequence[str]) -> None:
        found = self._found(symbols, self._rest.ticker_list())
        missing = [symbol for symbol in symbols if symbol not in found]
        trading = [ticker for tickers in found.values() for ticker in tickers]
        self._store_tickers([*trading, *self._delisted(missing)])

    def _asked_one_by_one(self, symbols: Sequence[str]) -> Iterator[Ticker]:
        for symbol in symbols:
            listed = list(self._rest.ticker_list(ticker=bars_symbol(symbol)))
            yield from listed or self._delisted([symbol])

    def _delisted(self, symbols: Sequence[str]) -> Iterator[Ticker]:
        """What is known of symbols that do not trade any more."""
        all_gone = None
        if len(symbols) > _LIST_FROM["delisted"]:
            all_gone = self._found(symbols, self._rest.ticker_list(active=False))
        for symbol in symbols:
            if all_gone is None:
                gone = list(self._rest.ticker_list(ticker=bars_symbol(symbol), active=False))
            else:
                gone = all_gone.get(symbol, [])
            yield from gone
            if not gone:
                self.report.unknown.append(symbol)

    @staticmethod
    def _found(symbols: Sequence[str], listed: Iterable[Ticker]) -> dict[str, list[Ticker]]:
        """What a list tells of some symbols."""
        wanted = set(symbols)
        found: dict[str, list[Ticker]] = {}
        for ticker in listed:
            symbol = bucket_symbol(ticker.ticker)
            if symbol is not None and symbol in wanted:
                found.setdefault(symbol, []).append(ticker)
        return found

    def _store_tickers(self, tickers: Iterable[Ticker]) -> None:
        fitting = (each for each in tickers if bucket_symbol(each.ticker) not in self._misfits)
        changed = store_tickers(self._store, fitting, self._today)
        self.report.changed["tickers"] += changed

    # Names.

    def _names(self) -> None:
        scope = self._symbols
        if scope is None:
            scope = sorted(filter(None, map(bucket_symbol, self._rest.tickers())))
        scope = self._fitting(_stocks(scope))
        # Whoever is stopped goes on behind the last of these.
        for at in range(0, len(scope), _NAMES_AT_A_TIME):
            some = [symbol for symbol in scope[at : at + _NAMES_AT_A_TIME] if self._is_old(symbol)]
            for symbol in some:
                changed = store_names(self._store, symbol, self._rest.ticker_events(symbol))
                self.report.changed["names"] += changed
            if some:
                self._ledger.note("names", some, self._now_ns, whole=True)

    def _is_old(self, symbol: str) -> bool:
        """Whether the names of a symbol were not asked for today."""
        entry = self._ledger.find("names", symbol)
        return self._whole or entry is None or self._now_ns - entry.latest_ns >= DUE_NS
