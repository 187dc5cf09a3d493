"""P9: days of minute bars of all tickers, as csv.gz in the vendor's layout, into buckets.

Once by each peer's importer, and ours by `massive_flatfiles` as well, which knows the vendor's
files.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.data import NS_PER_MINUTE, regular_hours
from benchmarks.flatfile import write_flat_file
from benchmarks.goals import at_least, at_most
from benchmarks.harness import Figure, Line
from benchmarks.peers import LOADERS, installed
from benchmarks.processes import run_python
from benchmarks.verify import expect
from tsstore_massive.flatfiles.catalogue import FlatSet

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Session

DAYS = 3
_RSS_MAX_MB = 600
_MB = 1e6
#: ArcticDB needs a minute for a day; it is timed on days of fewer tickers.
_FEWER = "arcticdb"
_STORED = re.compile(r"stored ([0-9,]+) rows of \d+ days in ([0-9.]+) s")


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
        loaded = _load(folder, days)
    ours = figures.pop("tsstore")
    goals = (
        at_least(ours, 1_200, "krows/s"),
        at_most(ours, _RSS_MAX_MB, "MB", "peak RSS"),
    )
    what = f"{DAYS} csv.gz flat files of {days.rows // DAYS:,} bars, {tickers:,} tickers"
    by_command = f"the same by massive_flatfiles, from its archive to {tickers:,} buckets"
    return [
        Line("P9", what, "krows/s", ours, figures, goals, more_is_better=True),
        Line("P9", by_command, "krows/s", loaded, {}, (at_least(loaded, 1_200, "krows/s"),),
             more_is_better=True),
    ]  # fmt: skip


def _write(folder: Path, name: str, tickers: int, rows: int) -> _Days:
    files, written, total = [], 0, 0.0
    for day in range(DAYS):
        path = folder / f"{name}-{day}.csv.gz"
        count, opened = write_flat_file(path, tickers, rows, day=day)
        files.append(str(path))
        written, total = written + count, total + opened
    return _Days(files, written, total)


def _load(folder: Path, days: _Days) -> Figure:
    """The command on an archive that has the files already."""
    dates = [_date(day) for day in range(DAYS)]
    archive = folder / "archive"
    for file, day in zip(days.files, dates, strict=True):
        path = archive / FlatSet.of("stocks", "minute_aggs").path(day)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(file)
        path.with_name(f"{path.name}.etag").write_text(f"made-up {path.stat().st_size}\n")
    printed = run_python(
        "-m", "tsstore_massive.flatfiles", "--dir", str(folder / "by-command"), "--archive",
        str(archive), "--offline", "--symbols", "*", "--start", str(dates[0]),
        "--end", str(dates[-1]),
    )  # fmt: skip
    stored = _STORED.search(printed)
    if stored is None:
        raise RuntimeError(f"massive_flatfiles stored nothing:\n{printed}")
    rows = int(stored[1].replace(",", ""))
    expect("massive_flatfiles", (rows, 0.0), (days.rows, 0.0))
    return Figure(rows / float(stored[2]) / 1e3)


def _date(day: int) -> date:
    first = regular_hours(day, 1, NS_PER_MINUTE)[:1].astype("M8[ns]").astype("M8[D]")
    return date.fromisoformat(str(first[0]))


def _measure(folder: Path, peer: str, days: _Days) -> Figure:
    arguments = ("-m", "benchmarks.importing", peer, str(folder), *days.files)
    printed = run_python(*arguments).split()[-DAYS - 3 :]
    *seconds, peak, rows, total = map(float, printed)
    expect(peer, (int(rows), total), (days.rows, days.total))
    details = {"first day": days.rows / DAYS / seconds[0] / 1e3, "peak RSS": peak / _MB}
    return Figure(days.rows / sum(seconds) / 1e3, details)
