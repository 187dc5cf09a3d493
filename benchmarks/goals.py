"""Goals of a measurement: a figure of its own, or a multiple of a peer's."""

from __future__ import annotations

from benchmarks.harness import Figure, Goal


def at_most(ours: Figure, limit: float, unit: str = "ms", detail: str | None = None) -> Goal:
    """The figure, or one of its details, stays below a limit."""
    value = ours.value if detail is None else ours.details[detail]
    return Goal(f"{detail or ''} ≤ {limit:g} {unit}".lstrip(), value <= limit)


def at_least(ours: Figure, limit: float, unit: str) -> Goal:
    """The figure, a rate, reaches a limit."""
    return Goal(f"≥ {limit:g} {unit}", ours.value >= limit)


def times_faster(seconds_ours: Figure, peer: str, figure: Figure, factor: float) -> Goal:
    """So many times less time than a peer."""
    return Goal(f"≥ {factor:g}x {peer}", figure.value >= factor * seconds_ours.value)


def times_more(ours: Figure, peer: str, figure: Figure, factor: float) -> Goal:
    """A rate so many times that of a peer."""
    return Goal(f"≥ {factor:g}x {peer}", ours.value >= factor * figure.value)


def within(ours: Figure, peer: str, figure: Figure, factor: float) -> Goal:
    """At most so many times the time of something that is known."""
    return Goal(f"≤ {factor:g}x {peer}", ours.value <= factor * figure.value)
