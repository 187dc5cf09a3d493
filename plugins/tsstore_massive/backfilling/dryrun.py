"""What `--dry-run` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tsstore_massive.backfilling.estimate import seconds_of
from tsstore_massive.texts import counted, duration, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsstore_massive.backfilling.estimate import Estimate

#: How far the number of requests may be off when ticks are estimated, by what it is based on.
_FACTORS = {"an average": 10, "one day of the market": 3, "stored day bars": 3}
#: How many quotes there are for each trade differs that much.
_QUOTES_FACTOR = 10


def say_estimates(
    estimates: Sequence[Estimate],
    covered_days: int,
    per_minute: int,
    parallelism: int,
    per_day: int | None = None,
) -> None:
    """Say what a run would cost, and how sure that is.

    Args:
        estimates: by dataset and market.
        covered_days: symbol-days that are there already.
        per_minute: requests that the plan of the key allows.
        parallelism: requests under way at a time.
        per_day: requests that it allows in a day; None for any number.
    """
    for each in estimates:
        how = "exactly" if each.is_exact else "about"
        click.echo(
            f"{each.dataset} of {each.dataset.market}: "
            f"{counted(each.symbol_days, 'symbol-day')}, {how} {counted(each.calls, 'request')}, "
            f"about {counted(round(each.rows), 'row')}, {size(each.wire_bytes)} to "
            f"receive, {size(each.disk_bytes)} on disk once packed"
        )
        click.echo(f"  rows by {each.basis}{_doubt(each)}")
    if covered_days:
        click.echo(f"{counted(covered_days, 'symbol-day is', 'symbol-days are')} there already")
    seconds = seconds_of(estimates, per_minute, parallelism, per_day)
    click.echo(
        f"in all {counted(sum(each.calls for each in estimates), 'request')}, "
        f"{size(sum(each.wire_bytes for each in estimates))} to receive, "
        f"{size(sum(each.disk_bytes for each in estimates))} on disk, about {duration(seconds)} at "
        f"{counted(per_minute, 'request')} a minute and {parallelism} at a time"
    )
    click.echo("nothing was fetched (--dry-run)")


def _doubt(estimate: Estimate) -> str:
    if estimate.dataset.kind == "bars":
        return ""
    if estimate.dataset.kind == "quotes" and "fetched before" not in estimate.basis:
        return f"; they may be {_QUOTES_FACTOR} times as many or as few"
    factors = [factor for basis, factor in _FACTORS.items() if basis in estimate.basis]
    return f"; they may be {max(factors, default=2)} times as many or as few"
