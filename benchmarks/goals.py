"""Goals of a measurement: a figure of its own, or a multiple of a peer's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.harness import Figure, Goal

if TYPE_CHECKING:
    from collections.abc import Mapping


def at_most(ours: Figure, limit: float, unit: str = "ms", detail: str | None = None) -> Goal:
    """The figure, or one of its details, stays below a limit."""
    value = ours.value if detail is None else ours.details[detail]
    return Goal(f"{detail or ''} ≤ {limit:g} {unit}".lstrip(), value <= limit)


def at_least(ours: Figure, limit: float, unit: str) -> Goal:
    """The figure, a rate, reaches a limit."""
    return Goal(f"≥ {limit:g} {unit}", ours.value >= limit)


def times_faster(
    ours: Figure, factor: float, peer: str, figures: Mapping[str, Figure]
) -> list[Goal]:
    """So many times less time than a peer; no goal when the peer was left out."""
    return [
        Goal(f"≥ {factor:g}x {name}", figure.value >= factor * ours.value)
        for name, figure in figures.items()
        if name == peer
    ]


def times_more(ours: Figure, factor: float, peer: str, figures: Mapping[str, Figure]) -> list[Goal]:
    """A rate so many times that of a peer; no goal when the peer was left out."""
    return [
        Goal(f"≥ {factor:g}x {name}", ours.value >= factor * figure.value)
        for name, figure in figures.items()
        if name == peer
    ]


def within(ours: Figure, factor: float, other: str, figure: Figure) -> Goal:
    """At most so many times the time of something that is known."""
    return Goal(f"≤ {factor:g}x {other}", ours.value <= factor * figure.value)
