"""`tsstore retention`: delete what is old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tsstore.cli.locate import locate, location_options
from tsstore.cli.matching import count_rows, matching
from tsstore.cli.spans import length_ns
from tsstore.clock import SystemClock
from tsstore.errors import InvalidArgumentError
from tsstore.key import is_own
from tsstore.times import MIN_NS, format_ns

if TYPE_CHECKING:
    from tsstore.api import StoreApi


@click.command("retention")
@click.argument("pattern")
@click.option("--keep", required=True, help="How much stays, such as 90D, 36h, 2Y.")
@click.option("--dry-run", is_flag=True, help="Only say how many rows would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@location_options
def command(pattern: str, keep: str, dry_run: bool, yes: bool, **where: Any) -> None:
    """Delete the rows of the buckets that match PATTERN that are older than --keep.

    Buckets in which plugins keep what they need themselves (`_…`) stay as they are, unless PATTERN
    begins with an underscore. The space is given back as files are compacted; `tsstore compact`
    does it at once.
    """
    cutoff = SystemClock().now_ns() - length_ns(keep)
    if cutoff <= MIN_NS:
        raise InvalidArgumentError(
            f"--keep {keep} reaches back beyond 1678, before which there are no rows; keep less"
        )
    last = np.datetime64(cutoff - 1, "ns")
    location = locate(**where)
    with location.open_to_read() if dry_run else location.open_to_write() as store:
        keys = [key for key in _meant(store, pattern) if _begins_before(store, key, cutoff)]
        if keys and not (dry_run or yes):
            rows = sum(count_rows(store, key, None, last) for key in keys)
            question = f"Delete {rows} rows of {len(keys)} buckets from before {format_ns(cutoff)}?"
            click.confirm(question, abort=True)
        total = 0
        for key in keys:
            rows = count_rows(store, key, None, last) if dry_run else store.delete(key, end=last)
            total += rows
            click.echo(f"{key}: {rows} rows")
    verb = "would delete" if dry_run else "deleted"
    click.echo(f"{verb} {total} rows from before {format_ns(cutoff)}")


def _meant(store: StoreApi, pattern: str) -> list[str]:
    return [key for key in matching(store, pattern) if not is_own(key) or is_own(pattern)]


def _begins_before(store: StoreApi, key: str, cutoff: int) -> bool:
    first = store.info(key).first_ns
    return first is not None and first < cutoff
