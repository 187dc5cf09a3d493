"""What the command line says of a backfill when it is over, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tsstore.times import format_ns
from tsstore_massive.backfilling.allowance import BELIEVED_NS
from tsstore_massive.backfilling.hints import likely_symbol
from tsstore_massive.backfilling.report import count_days
from tsstore_massive.errors import NotInPlanError
from tsstore_massive.texts import counted, day_range
from tsstore_massive.tradingdays import day_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tsstore_massive.backfilling.plan import Plan
    from tsstore_massive.backfilling.report import Gap, Report

_GAPS_SHOWN = 20
_EMPTY_SHOWN = 20
_SYMBOLS_SHOWN = 3


def say_plan(plan: Plan) -> None:
    """Say which days are going to be asked for, and what was chosen."""
    for dataset, (first, last) in plan.spans.items():
        days = sum(job.day_count for job in plan.jobs if job.dataset == dataset)
        click.echo(
            f"{dataset} of {dataset.market}: {counted(days, 'symbol-day')} to fetch, "
            f"{day_range(first, last)}"
        )
    for note in plan.notes:
        click.echo(note)


def summarise(report: Report, plan: Plan, directory: Path, now_ns: int) -> bool:
    """Say how a run went.

    Returns:
        Whether nothing failed; a day that comes once it is over did not.

    Raises:
        NotInPlanError: nothing failed, and the plan of the key does not include some of it.
    """
    if plan.total_days:
        _say_stored(report, directory)
    else:
        click.echo("nothing to fetch")
    if plan.covered_days:
        click.echo(
            f"{counted(plan.covered_days, 'symbol-day was', 'symbol-days were')} "
            "fetched before and left out"
        )
    failed = [gap for gap in report.gaps if gap.refused is None]
    today = [gap for gap in report.gaps if gap.refused == "today"]
    excluded = [gap for gap in report.gaps if gap.refused not in (None, "today")]
    _say_refused("missing until the day is over, run the same command then", today)
    _say_refused("not in the plan of this key", excluded)
    if excluded:
        until = format_ns(now_ns + BELIEVED_NS)[:16]
        click.echo(f"this is not asked for again before {until} UTC; --ask-again asks", err=True)
    _say_failed(failed, report.more_gaps)
    if failed:
        return False
    if excluded and not report.stopped:
        raise NotInPlanError(
            f"{counted(count_days(excluded), 'symbol-day is', 'symbol-days are')} not in the plan "
            "of this key; the rest is stored"
        )
    return True


def say_empty(symbols: Sequence[str], who: str = "the vendor has") -> None:
    """Name symbols of which there is nothing, and what may have been meant by them, in a line."""
    if not symbols:
        return
    names = ", ".join(map(_with_meaning, symbols[:_EMPTY_SHOWN]))
    if len(symbols) == 1:
        told = f"{names} in these days:"
    else:
        more = len(symbols) - _EMPTY_SHOWN
        told = f"{len(symbols):,} symbols in these days: {names}"
        told += f" and {more:,} more;" if more > 0 else ";"
    click.echo(
        f"{who} no rows of {told} check the spelling (tickers are case-sensitive, and all but "
        "stocks and futures have a prefix); massive_reference knows the tickers",
        err=True,
    )


def _with_meaning(symbol: str) -> str:
    meant = likely_symbol(symbol)
    return f"{symbol} (did you mean {meant}?)" if meant else symbol


def _say_stored(report: Report, directory: Path) -> None:
    done, traffic = report.progress, report.traffic
    days = done.days - done.failed_days
    click.echo(
        f"stored {counted(done.rows, 'row')} of {counted(days, 'symbol-day')} "
        f"in {report.seconds:.1f} s ({done.rows / max(report.seconds, 1e-3):,.0f} rows/s) "
        f"in {directory}"
    )
    told = f"{counted(traffic.calls, 'call')}, {traffic.bytes / 1e6:,.1f} MB received"
    if traffic.failures:
        told += f", {counted(traffic.failures, 'call')} failed and repeated"
    if traffic.throttled:
        told += f", {traffic.throttled:,} too many (429)"
    click.echo(told)
    if done.empty_days:
        click.echo(
            f"{counted(done.empty_days, 'symbol-day is', 'symbol-days are')} empty: "
            "the vendor has no rows there"
        )


def _say_refused(what: str, gaps: Sequence[Gap]) -> None:
    if not gaps:
        return
    click.echo(f"{counted(count_days(gaps), 'symbol-day')} {what}:", err=True)
    alike: dict[tuple[str, str], list[Gap]] = {}
    for gap in gaps:
        # When it was asked, and for which of the symbols, is no other reason.
        reason = gap.reason.partition(" (asked ")[0]
        alike.setdefault((str(gap.dataset), reason), []).append(gap)
    for (dataset, reason), some in sorted(alike.items()):
        first = day_in(some[0].dataset, min(gap.start_ns for gap in some))
        last = day_in(some[0].dataset, max(gap.end_ns for gap in some))
        days = day_range(first, last)
        click.echo(f"  {dataset} of {_symbols(some)}, {days}: {reason}", err=True)


def _symbols(gaps: Sequence[Gap]) -> str:
    names = sorted({gap.symbol for gap in gaps})
    if any(name.endswith("*") for name in names):
        return "all symbols"
    if len(names) <= _SYMBOLS_SHOWN:
        return ", ".join(names)
    return f"{len(names):,} symbols"


def _say_failed(gaps: Sequence[Gap], more: int) -> None:
    if not gaps:
        return
    click.echo(f"{counted(count_days(gaps), 'symbol-day')} missing:", err=True)
    for gap in gaps[:_GAPS_SHOWN]:
        click.echo(f"  {gap}", err=True)
    left = max(0, len(gaps) - _GAPS_SHOWN) + more
    if left:
        click.echo(f"  and {left:,} more", err=True)
    click.echo("run the same command again to fetch them", err=True)
