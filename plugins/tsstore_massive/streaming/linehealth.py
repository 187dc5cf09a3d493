"""The worker's status: that of its only connection, or several added up with each one below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Numbers that add up; of the others the worst is shown.
_SUMS = (
    "connections", "failures", "messages", "events_per_s", "rows", "commits", "queue",
    "queue_pauses", "gap_count", "carried",
)  # fmt: skip
_GAPS_SHOWN = 50
#: The first of these that a connection is in says how the worker fares.
_STATES = (
    "streaming",
    "carried",
    "polling",
    "connecting",
    "waiting",
    "evicted",
    "refused",
    "idle",
    "failed",
)


def added_up(described: Mapping[str, dict[str, Any]], problems: Sequence[str]) -> dict[str, Any]:
    """The status of a worker.

    Args:
        described: connection name to how it fares, in the order of the options.
        problems: what is wrong besides.
    """
    if len(described) == 1 and "" in described:
        return {**described[""], "problems": list(problems)}
    parts = described.values()
    states = {part["state"] for part in parts}
    alarms = [f"{name}: {part['alarm']}" for name, part in described.items() if part["alarm"]]
    refused = [f"{name}: {part['refused']}" for name, part in described.items() if part["refused"]]
    return {
        "state": next((state for state in _STATES if state in states), "connecting"),
        "alarm": "; ".join(alarms),
        "refused": "; ".join(refused),
        **{name: sum(part[name] for part in parts) for name in _SUMS},
        "lag_ms": max(part["lag_ms"] for part in parts),
        "streaming": sum(part["state"] == "streaming" for part in parts),
        "faults": _added(part["faults"] for part in parts),
        "rest_faults": _added(part["rest_faults"] for part in parts),
        "misfits": sorted({key for part in parts for key in part["misfits"]}),
        "gaps": [gap for part in parts for gap in part["gaps"]][:_GAPS_SHOWN],
        "backfill": _backfill([part["backfill"] for part in parts]),
        "last": {name: price for part in parts for name, price in part["last"].items()},
        "problems": list(problems),
        "lines": dict(described),
    }


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for some in counts:
        for name, count in some.items():
            total[name] = total.get(name, 0) + count
    return total


def _backfill(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    numbers = ("done", "total", "rows", "failed")
    errors = (part["error"] for part in parts if part["error"])
    return {
        **{name: sum(part[name] for part in parts) for name in numbers},
        "error": "; ".join(dict.fromkeys(errors)),
    }
