"""Days that somebody else than the vendor tells until there is a file.

The ledger says that their rows may be anybody's, so that a file takes their place. Of a ticker that
the file lacks the day goes if it was empty before they came, and over: what the socket brought of
it is not told apart from theirs, and stays with theirs.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tsstore_massive.flatfiles.covering import coverage_of_none, with_rows
from tsstore_massive.flatfiles.selection import symbols_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from tsstore.client import RemoteStore
    from tsstore.store import Store
    from tsstore_massive.flatfiles.planning import Missing, Plan


@contextmanager
def noted(
    store: Store | RemoteStore, plan: Plan, days: Sequence[Missing], name: str, today: date
) -> Iterator[None]:
    """Write down which days a stranger brings meanwhile, and of which tickers.

    Args:
        store: where the rows go.
        plan: whose tickers are wanted.
        days: that are about to come.
        name: of the stranger.
        today: in New York.
    """

    def held(each: Missing) -> set[str]:
        window = each.flat.window(each.day, store.timezone)
        return {*with_rows(store, each.flat, window, symbols_of(store, each.flat, plan.selection))}

    for each in days:
        plan.ledgers[each.flat].begin(each.day, name, plan.selection)
    over = [(each, held(each)) for each in days if each.day < today]
    try:
        yield
    finally:
        for each, before in over:
            store.commit(coverage_of_none(each.flat, each.day, sorted(held(each) - before)))
