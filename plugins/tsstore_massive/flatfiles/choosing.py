"""Which part of a backfill is quicker by flat files than by REST.

A file has a whole market's day, so it pays for many symbols, or for few with very many ticks. Files
are loaded first; what they do not bring, the last days for one, is then missing and comes by REST.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from tsstore.errors import ConfigError, LockedError
from tsstore_massive.backfilling.estimate import seconds_of
from tsstore_massive.errors import MassiveError, StoppedError
from tsstore_massive.flatfiles.archive import Archive
from tsstore_massive.flatfiles.covering import flat_set_of
from tsstore_massive.flatfiles.credentials import find_access
from tsstore_massive.flatfiles.planning import Plan, Span
from tsstore_massive.flatfiles.remote import Remote
from tsstore_massive.flatfiles.run import carry_out, options_for, sync_of
from tsstore_massive.flatfiles.selection import Selection
from tsstore_massive.sessions import day_of
from tsstore_massive.texts import counted, duration, size

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping

    from tsstore.client import RemoteStore
    from tsstore.clock import Clock
    from tsstore.store import Store
    from tsstore_massive.backfilling.display import Bars, Lines
    from tsstore_massive.backfilling.estimate import Estimate
    from tsstore_massive.backfilling.options import Options as BackfillOptions
    from tsstore_massive.backfilling.plan import Target
    from tsstore_massive.flatfiles.credentials import Access
    from tsstore_massive.flatfiles.sync import Sync

#: What the vendor sends over many connections, and packed bytes that a core takes in.
_FETCH_BYTES_PER_S = 25e6
_LOAD_BYTES_PER_S = 15e6
#: Requests below which a backfill is over before a listing of files pays.
_FEW_CALLS = 200


def access_for(
    options: BackfillOptions, environment: Mapping[str, str] = os.environ
) -> Access | None:
    """S3 keys that are meant for the vendor; those in variables may be meant for Amazon.

    Raises:
        ConfigError: something found cannot be right, or a profile was named and is not there.
    """
    names_vendor = options.profile or options.endpoint
    mine = {k: v for k, v in environment.items() if names_vendor or not k.startswith("AWS_ACCESS")}
    try:
        return find_access(
            mine, profile=options.profile, endpoint=options.endpoint, bucket=options.bucket
        )
    except ConfigError:
        if names_vendor:
            raise
        return None


def load_chosen(
    access: Access,
    store: Store | RemoteStore,
    options: BackfillOptions,
    symbols: list[str],
    estimates: Iterable[Estimate],
    *,
    clock: Clock,
    stop: threading.Event,
    display: Bars | Lines,
) -> bool:
    """Say which parts of a backfill come from files, and load them; whether any were loaded.

    Args:
        access: to the files.
        store: where the rows go.
        options: what is wanted, and the pace of REST.
        symbols: the wanted ones.
        estimates: the parts, as they would come by REST.
        clock: the source of time.
        stop: ends it soon after it is set.
        display: shows how far it is.
    """
    parts = [part for part in estimates if _may_pay(part, options)]
    if not parts:
        return False
    load_options = options_for(options, [], Selection(symbols))
    archive = Archive(load_options.archive)
    with Remote(access, connections=load_options.connections, stop=stop) as remote:
        sync = sync_of(load_options, store, archive, remote, clock, stop)
        try:
            spans = _quicker(sync, parts, options, load_options.selection, clock.now_ns())
        except StoppedError:
            raise
        except MassiveError as error:
            click.echo(f"no flat files: {error}", err=True)
            return False
        if not spans or options.dry_run:
            return False
        try:
            with archive.locked():
                plan = sync.plan(spans, load_options.selection, reload=options.refetch)
                carry_out(sync, plan, options.directory, clock, display)
        except StoppedError:
            raise
        except (MassiveError, LockedError) as error:
            click.echo(f"no more flat files, the rest by REST: {error}", err=True)
    return True


def _may_pay(part: Estimate, options: BackfillOptions) -> bool:
    if part.calls < _FEW_CALLS or flat_set_of(part.dataset) is None:
        return False
    if part.dataset.kind == "bars" and options.config.backfill_adjusted:
        click.echo(
            f"{_name(part)} by REST: flat files are not adjusted to splits (--no-adjusted takes "
            "them)"
        )
        return False
    return True


def _quicker(
    sync: Sync,
    parts: Iterable[Estimate],
    options: BackfillOptions,
    selection: Selection,
    now_ns: int,
) -> list[Span]:
    """The days of parts that files bring sooner than REST does."""
    chosen: list[Span] = []
    for part in parts:
        wanted = [_span(target, part, now_ns) for target in options.targets]
        spans = [span for span in wanted if span is not None]
        plan = sync.plan(spans, selection, reload=options.refetch)
        config = options.config
        by_file = _seconds(plan)
        by_rest = seconds_of([part], config.requests_per_minute, 8, config.requests_per_day)
        is_quicker = bool(plan.wanted) and by_file < by_rest
        click.echo(
            f"{_name(part)} by {'flat files' if is_quicker else 'REST'}: "
            f"{counted(len(plan.wanted), 'file')} with {size(plan.fetch_bytes)} to fetch would "
            f"take about {duration(by_file)}, {counted(part.calls, 'request')} {duration(by_rest)}"
        )
        if is_quicker:
            chosen += spans
    return chosen


def _name(part: Estimate) -> str:
    return f"{part.dataset} of {part.dataset.market}"


def _span(target: Target, estimate: Estimate, now_ns: int) -> Span | None:
    flat = flat_set_of(estimate.dataset)
    if flat is None or target.dataset.of(estimate.dataset.market) != estimate.dataset:
        return None
    yesterday = day_of(now_ns) - timedelta(days=1)
    return Span(flat, target.first, min(target.last, yesterday))


def _seconds(plan: Plan) -> float:
    loaded = sum(each.file.size for each in plan.wanted)
    return max(plan.fetch_bytes / _FETCH_BYTES_PER_S, loaded / _LOAD_BYTES_PER_S)
