"""`tsstore delete`: rows of a bucket."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from tsstore.cli.locate import locate, location_options
from tsstore.cli.matching import count_rows
from tsstore.cli.spans import check_span, instant
from tsstore.errors import InvalidArgumentError
from tsstore.times import format_ns
from tsstore.zones import zone


@click.command("delete")
@click.argument("key")
@click.option("--start", help="First instant, included: 2013-10-08, '2013-10-08 09:30', seconds.")
@click.option("--end", help="Last instant, included.")
@click.option("--tz", default="UTC", show_default=True, help="Zone of --start and --end.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@location_options
def command(key: str, start: str | None, end: str | None, tz: str, yes: bool, **where: Any) -> None:
    """Delete the rows of the bucket KEY from --start to --end, both included.

    Of a bucket of bars the whole slots that hold the ends go. The bucket stays, even without rows.
    """
    if start is None and end is None:
        raise InvalidArgumentError("name --start, or --end, or both: the rows between them go")
    zone(tz)
    first, last = instant(start, tz), instant(end, tz)
    check_span(first, last, tz)
    with locate(**where).open_to_write() as store:
        store.info(key)  # before anybody is asked
        if not yes:
            span = f"from {_shown(first, 'the first')} to {_shown(last, 'the last')}"
            count = count_rows(store, key, first, last)
            click.confirm(f"Delete {count} rows of {key} {span}?", abort=True)
        rows = store.delete(key, first, last)
    click.echo(f"deleted {rows} rows of {key}")


def _shown(instant: np.datetime64 | None, open_end: str) -> str:
    """What a typed time was taken for."""
    return open_end if instant is None else format_ns(int(instant.astype(np.int64)))
