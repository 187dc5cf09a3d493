"""Growth as tables for people, as markdown and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.report import machine, rounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.growth import Growth


def show(tables: Sequence[Growth]) -> None:
    """Print the tables."""
    console = Console()
    for growth in tables:
        table = Table(title=_title(growth))
        for heading in _headings(growth):
            table.add_column(heading, justify="right")
        for row in _rows(growth):
            table.add_row(*row)
        console.print(table)


def markdown(tables: Sequence[Growth]) -> str:
    """The tables as markdown."""
    text = ""
    for growth in tables:
        headings = _headings(growth)
        rows = [headings, ["---"] * len(headings), *_rows(growth)]
        table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
        text += f"**{_title(growth)}**\n\n{table}\n"
    return text


def as_json(tables: Sequence[Growth], *, quick: bool) -> dict[str, Any]:
    """Everything that was measured, and on what machine."""
    return {
        "machine": machine(),
        "quick": quick,
        "growth": [
            asdict(growth) | {"factors": {name: growth.factors(name) for name in growth.figures}}
            for growth in tables
        ],
    }


def _title(growth: Growth) -> str:
    before, after = growth.load
    return f"{growth.title}; load {before:.1f} to {after:.1f}"


def _headings(growth: Growth) -> list[str]:
    return ["", *(f"{size:,}" for size in growth.sizes)]


def _rows(growth: Growth) -> Iterator[list[str]]:
    for measure, values in growth.figures.items():
        unit = growth.units[measure]
        factors = ["", *(f" (x {factor:.2g})" for factor in growth.factors(measure))]
        cells = [
            f"{rounded(value)} {unit}{factor}"
            for value, factor in zip(values, factors, strict=True)
        ]
        yield [measure, *cells]
