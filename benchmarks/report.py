"""The lines of a run as a table for people, as markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.harness import Figure, Line

HEADINGS = ("", "measured", "tsstore", "peer", "its figure", "ratio", "target", "met")


def show(lines: Sequence[Line]) -> None:
    """Print the table."""
    table = Table(title="tsstore and its peers")
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading == "ratio" else "left")
    for line in lines:
        for cells in _rows(line):
            table.add_row(*cells)
        table.add_section()
    Console(width=None if os.isatty(1) else 200).print(table)


def markdown(lines: Sequence[Line]) -> str:
    """The table as markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS)]
    rows += [cells for line in lines for cells in _rows(line)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def as_json(lines: Sequence[Line], **facts: Any) -> str:
    """Everything that was measured, and on what machine."""
    machine = {
        "processors": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    listed = [
        asdict(line) | {"ratios": {peer: line.ratio(peer) for peer in line.peers}} for line in lines
    ]
    return json.dumps({"machine": machine, **facts, "lines": listed}, indent=2)


def _rows(line: Line) -> list[tuple[str, ...]]:
    """One row for each peer, tsstore's own cells only in the first."""
    goals = "; ".join(goal.text for goal in line.goals)
    met = "; ".join("yes" if goal.met else "NO" for goal in line.goals)
    first = (line.workload, line.what, _text(line.ours, line.unit))
    rows = [
        (peer, _text(figure, line.unit), f"{line.ratio(peer):.3g}x")
        for peer, figure in line.peers.items()
    ] or [("", "", "")]
    return [
        (*first, *rows[0], goals, met),
        *(("", "", "", *row, "", "") for row in rows[1:]),
    ]


def _text(figure: Figure, unit: str) -> str:
    details = ", ".join(f"{name} {value:.3g}" for name, value in figure.details.items())
    value = f"{figure.value:.0f}" if figure.value >= 100 else f"{figure.value:.3g}"
    return f"{value} {unit} ({details})" if details else f"{value} {unit}"
