"""`tsstore stats`: how a store or its buckets are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tsstore.cli.locate import locate, location_options
from tsstore.cli.matching import matching
from tsstore.cli.output import print_table
from tsstore.key import is_pattern

if TYPE_CHECKING:
    from tsstore.reports import BucketStats

_NAMES = ("Key", "Rows", "Bytes", "BytesPerRow", "Segments", "Blocks", "MemoryRows")


@click.command("stats")
@click.argument("target", required=False, metavar="[KEY|PATTERN]")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
)
@location_options
def command(target: str | None, style: str, **where: Any) -> None:
    """Show how the store is stored, or a bucket, or each one that matches a pattern.

    Of files that small buckets share, each has its part of the bytes; rows that are in the log only
    count in memory. Replaced rows count until they are compacted.
    """
    with locate(**where).open_to_read() as store:
        if target is None:
            print_table(("Name", "Value"), iter([list(store.stats().items())]), style)
            return
        if not is_pattern(target):
            print_table(("Name", "Value"), iter([_lines(store.stats(target))]), style)
            return
        keys = matching(store, target)
        print_table(_NAMES, iter([[_row(store.stats(key)) for key in keys]]), style)


def _bytes_per_row(stats: BucketStats) -> float | None:
    """None as long as all rows are in the log, which many buckets share."""
    return round(stats.bytes_per_row, 2) if stats.segments else None


def _row(stats: BucketStats) -> tuple[Any, ...]:
    return (
        stats.key,
        stats.rows,
        stats.bytes,
        _bytes_per_row(stats),
        stats.segments,
        stats.blocks,
        stats.memory_rows,
    )


def _lines(stats: BucketStats) -> list[tuple[str, Any]]:
    lines: list[tuple[str, Any]] = [
        ("key", stats.key),
        ("rows", stats.rows),
        ("bytes", stats.bytes),
        ("bytes_per_row", _bytes_per_row(stats)),
        ("segments", stats.segments),
        ("blocks", stats.blocks),
        ("memory_rows", stats.memory_rows),
        ("memory_bytes", stats.memory_bytes),
        ("deleted_ranges", stats.deleted_ranges),
    ]
    lines += [(f"generation {number}", count) for number, count in stats.generations.items()]
    for column, encodings in stats.encodings.items():
        counts = sorted(encodings.items(), key=lambda pair: -pair[1])
        lines.append((f"column {column}", ", ".join(f"{count} {name}" for name, count in counts)))
    return lines
