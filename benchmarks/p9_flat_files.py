"""P9: days of minute bars of all tickers, as csv.gz in the vendor's layout, into buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.flatfile import write_flat_file
from benchmarks.goals import at_least, at_most
from benchmarks.harness import Figure, Line
from benchmarks.peers import LOADERS, installed
from benchmarks.processes import run_python
from benchmarks.verify import expect

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Session

DAYS = 3
_RSS_MAX_MB = 600
_MB = 1e6
#: ArcticDB needs a minute for a day; it is timed on days of fewer tickers.
_FEWER = "arcticdb"


class _Days(NamedTuple):
    """Files, and what stands in them."""

    files: list[str]
    rows: int
    total: float


def run(session: Session) -> list[Line]:
    """Measure it."""
    tickers, rows = session.pick((20, 2_000), (8_000, 1_500_000))
    fewer = session.pick(5, 500)
    with session.folder() as folder:
        days = _write(folder, "all", tickers, rows)
        share = _write(folder, "few", fewer, rows * fewer // tickers)
        figures = {}
        for peer in installed(LOADERS):
            few = peer == _FEWER
            name = f"{peer} ({fewer} tickers)" if few else peer
            figures[name] = _measure(folder, peer, share if few else days)
    ours = figures.pop("tsstore")
    goals = (
        at_least(ours, 1_200, "krows/s"),
        at_most(ours, _RSS_MAX_MB, "MB", "peak RSS"),
    )
    what = f"{DAYS} csv.gz flat files of {days.rows // DAYS:,} bars, {tickers:,} tickers"
    return [Line("P9", what, "krows/s", ours, figures, goals, more_is_better=True)]


def _write(folder: Path, name: str, tickers: int, rows: int) -> _Days:
    files, written, total = [], 0, 0.0
    for day in range(DAYS):
        path = folder / f"{name}-{day}.csv.gz"
        count, opened = write_flat_file(path, tickers, rows, day=day)
        files.append(str(path))
        written, total = written + count, total + opened
    return _Days(files, written, total)


def _measure(folder: Path, peer: str, days: _Days) -> Figure:
    arguments = ("-m", "benchmarks.importing", peer, str(folder), *days.files)
    printed = run_python(*arguments).split()[-DAYS - 3 :]
    *seconds, peak, rows, total = map(float, printed)
    expect(peer, (int(rows), total), (days.rows, days.total))
    details = {"first day": days.rows / DAYS / seconds[0] / 1e3, "peak RSS": peak / _MB}
    return Figure(days.rows / sum(seconds) / 1e3, details)
