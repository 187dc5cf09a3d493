"""The lines of a run as a table for people, as markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console
from rich.table import Table

from benchmarks.peers import LIBRARIES, installed, left_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.harness import Figure, Line

#: The columns of the peers; whatever else was compared stands in the last one.
PEERS = tuple(name for name in LIBRARIES if name != "tsstore")
OTHERS = "others"
HEADINGS = ("", "measured", "tsstore", *PEERS, OTHERS, "target", "load")

#: The load of the machine before and after each workload.
Loads: TypeAlias = "Mapping[str, tuple[float, float]]"


def show(lines: Sequence[Line], loads: Loads) -> None:
    """Print the table."""
    table = Table(title="tsstore and its peers, and how many times better tsstore is")
    for heading in HEADINGS:
        table.add_column(heading)
    for line in lines:
        table.add_row(*_row(line, loads))
        table.add_section()
    console = Console(width=None if os.isatty(1) else 240)
    console.print(table)
    for note in notes():
        console.print(note, highlight=False)


def markdown(lines: Sequence[Line], loads: Loads) -> str:
    """The table as markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(_row(line, loads) for line in lines)]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    return table + "".join(f"\n{note}\n" for note in notes())


def notes() -> list[str]:
    """What a reader of the table has to know."""
    missing = left_out()
    if not missing:
        return []
    return [
        f"Left out, because not installed: {', '.join(missing)} (they are in the extra `bench`)."
    ]


def as_json(lines: Sequence[Line], loads: Loads, *, quick: bool) -> dict[str, Any]:
    """Everything that was measured, and on what machine."""
    return {
        "machine": machine(),
        "versions": {peer: version(peer) for peer in installed(LIBRARIES)},
        "left_out": left_out(),
        "quick": quick,
        "load": dict(loads),
        "lines": [
            asdict(line) | {"ratios": {peer: line.ratio(peer) for peer in line.peers}}
            for line in lines
        ],
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _row(line: Line, loads: Loads) -> tuple[str, ...]:
    before, after = loads[line.workload]
    return (
        line.workload,
        line.what,
        with_details(line.ours, line.unit),
        *(_peer_cell(line, column) for column in (*PEERS, OTHERS)),
        "; ".join(f"{goal.text}: {'yes' if goal.met else 'NO'}" for goal in line.goals),
        f"{before:.1f} to {after:.1f}",
    )


def _peer_cell(line: Line, column: str) -> str:
    """The figures of a peer; in brackets whatever its name says besides the column's."""
    cells = []
    for peer, figure in line.peers.items():
        name, _, how = peer.partition(" ")
        if column_of(peer) == column:
            label = how if name == column else peer
            text = f"{rounded(figure.value)} {line.unit}, {line.ratio(peer):.3g}x {label}"
            cells.append(text.rstrip())
    return "; ".join(cells)


def column_of(peer: str) -> str:
    """The column a peer belongs in, by the first word of its name."""
    name = peer.split(maxsplit=1)[0]
    return name if name in PEERS else OTHERS


def with_details(figure: Figure, unit: str) -> str:
    """A figure with everything that was measured besides."""
    details = ", ".join(f"{name} {rounded(value)}" for name, value in figure.details.items())
    text = f"{rounded(figure.value)} {unit}"
    return f"{text} ({details})" if details else text


def rounded(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def dump(found: dict[str, Any]) -> str:
    """JSON for people and programs."""
    return json.dumps(found, indent=2)
