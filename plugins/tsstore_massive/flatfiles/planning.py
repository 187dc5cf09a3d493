"""Which files are missing in the store, and of which days there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal, cast

from tsstore_massive.flatfiles.covering import covered_days, lost_days
from tsstore_massive.flatfiles.ledger import Ledger
from tsstore_massive.tradingdays import trading_days

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsstore.api import StoreApi
    from tsstore_massive.flatfiles.archive import Archive
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.remote import Remote, RemoteFile
    from tsstore_massive.flatfiles.selection import Selection
    from tsstore_massive.symbols import Market

#: A file of so few days ago, a long weekend, may be on its way to the bucket, or to this plan.
RECENT_DAYS = 4

Reason = Literal["pending", "denied", "failed", "absent"]


@dataclass(frozen=True)
class Span:
    """What is wanted of a data set.

    Attributes:
        flat: the data set.
        first: first day.
        last: last day, included.
    """

    flat: FlatSet
    first: date
    last: date


@dataclass(frozen=True)
class Missing:
    """A day that is not in the store, and why.

    Attributes:
        flat: the data set.
        day: the day.
        reason: `pending` when it is not yet available, `denied` when the plan does not include it,
            `absent` when the vendor has no such file, `failed` for all else.
        text: in one line.
    """

    flat: FlatSet
    day: date
    reason: Reason
    text: str

    def __str__(self) -> str:
        return f"{self.flat} of {self.day}: {self.text}"


@dataclass(frozen=True)
class Wanted:
    """A file that is to be loaded.

    Attributes:
        flat: the data set.
        day: the day.
        file: as it is listed.
        replaces: whether an older file of that day was loaded before.
    """

    flat: FlatSet
    day: date
    file: RemoteFile
    replaces: bool


@dataclass(frozen=True)
class Plan:
    """What a run is going to do.

    Attributes:
        selection: the wanted tickers.
        wanted: the files to load, by data set and day.
        loaded_days: files that were loaded before and are left out.
        covered_days: files whose wanted rows came by REST and are left out.
        fetch_bytes: of the files that are not in the archive.
        missing: days of which there is no file.
        ledgers: what is loaded, by data set.
        is_offline: whether nothing is fetched.
    """

    selection: Selection
    wanted: list[Wanted] = field(default_factory=list)
    loaded_days: int = 0
    covered_days: int = 0
    fetch_bytes: int = 0
    missing: list[Missing] = field(default_factory=list)
    ledgers: dict[FlatSet, Ledger] = field(default_factory=dict)
    is_offline: bool = False

    @property
    def days(self) -> int:
        """Files of the wanted days."""
        return len(self.wanted) + self.loaded_days + self.covered_days


class Planner:
    """Compares what is listed with what was loaded.

    Args:
        store: where the rows go.
        archive: where the files are kept.
        remote: where they come from; None to load what the archive has.
        today: in New York.
    """

    def __init__(
        self, store: StoreApi, archive: Archive, remote: Remote | None, today: date
    ) -> None:
        self._store = store
        self._archive = archive
        self._remote = remote
        self._today = today

    def plan(self, spans: Iterable[Span], selection: Selection, *, reload: bool) -> Plan:
        """See `Sync.plan`."""
        wanted: list[Wanted] = []
        missing: list[Missing] = []
        ledgers: dict[FlatSet, Ledger] = {}
        loaded = covered = 0
        for span in spans:
            flat = span.flat
            ledger = ledgers[flat] = Ledger(self._store, flat)
            files = dict(self._files(span))
            absent = self._absent(span, set(files))
            # A file may be withdrawn, or have gone from the archive, once it is loaded.
            unknown = [each for each in absent if not ledger.has_rows(each.day, selection)]
            missing += unknown
            loaded += len(absent) - len(unknown)
            there = set() if reload else covered_days(self._store, flat, files, selection)
            lost = files.keys() if reload else lost_days(self._store, flat, files, selection)
            for day, file in sorted(files.items()):
                if day not in lost and ledger.is_loaded(day, file.etag, selection):
                    loaded += 1
                elif day in there and not ledger.had_other(day, file.etag):
                    covered += 1
                else:
                    replaces = ledger.had_other(day, file.etag)
                    wanted.append(Wanted(flat, day, file, replaces))
        to_fetch = sum(each.file.size for each in wanted if not self._archive.holds(each.file))
        is_offline = self._remote is None
        return Plan(selection, wanted, loaded, covered, to_fetch, missing, ledgers, is_offline)

    def _files(self, span: Span) -> Iterator[tuple[date, RemoteFile]]:
        """The files of some days, as listed."""
        flat = span.flat
        before = flat.path(span.first - timedelta(days=1))
        source = self._archive if self._remote is None else self._remote
        for file in source.list(flat.prefix, before):
            day = flat.day_of(file.path)
            if day is None:
                continue
            if day > span.last:
                return
            yield day, file

    def _absent(self, span: Span, there: set[date]) -> list[Missing]:
        """Days of the market without a file."""
        flat = span.flat
        market = cast("Market", flat.market)
        days = trading_days(market, span.first, min(span.last, self._today)).tolist()
        return [self._no_file(flat, day) for day in days if day not in there]

    def _no_file(self, flat: FlatSet, day: date) -> Missing:
        if self._remote is None:
            return Missing(flat, day, "absent", f"the archive has no {flat.path(day)}")
        if is_recent(day, self._today):
            return Missing(flat, day, "pending", "not yet available")
        return Missing(flat, day, "absent", "the vendor has no such file")


def is_recent(day: date, today: date) -> bool:
    """Whether the file of a day may be on its way."""
    return day >= today - timedelta(days=RECENT_DAYS)
