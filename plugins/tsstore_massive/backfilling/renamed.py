"""History of shares that were called otherwise before: each name for its own days.

META's bars of 2021 are asked for as FB, and META's of before June 2022 are not asked for at all,
because they are those of another company that was called so then. What was called how stands in the
store, see `reference/names.py`; where nothing is known, a symbol is asked for as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tsstore_massive.reference.buckets import NAMES_GROUP
from tsstore_massive.reference.names import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tsstore.api import StoreApi
    from tsstore_massive.backfilling.plan import Target


def by_names(
    store: StoreApi, targets: Iterable[Target], symbols: Sequence[str]
) -> Iterator[tuple[Target, Sequence[str]]]:
    """Targets with the symbols they are for.

    Args:
        store: which knows names.
        targets: of all symbols.
        symbols: of buckets. One that is a former name as well as wanted by itself is asked for
            once, for all days.

    Yields:
        Each target with the symbols that have one name, then, clipped to the days of a name, with
        that name.
    """
    wanted = set(symbols)
    known = {key.partition("/")[0] for key in store.list(f"*/{NAMES_GROUP}")} & wanted
    names = {symbol: names_of(store, symbol) for symbol in sorted(known)}
    renamed = {symbol: some for symbol, some in names.items() if len(some) > 1}
    for target in targets:
        yield target, [symbol for symbol in symbols if symbol not in renamed]
        for symbol, some in renamed.items():
            for name in some:
                if name.symbol != symbol and name.symbol in wanted:
                    continue
                first, last = max(target.first, name.first), min(target.last, name.last)
                if first <= last:
                    yield replace(target, first=first, last=last), [name.symbol]
