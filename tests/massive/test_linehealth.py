from __future__ import annotations

from typing import Any

from tsstore_massive.streaming.linehealth import added_up


def part(**fields: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "state": "streaming", "alarm": "", "refused": "", "lag_ms": 5, "connections": 1,
        "failures": 0, "messages": 10, "events_per_s": 2, "rows": 10, "commits": 1, "queue": 0,
        "queue_pauses": 0, "gap_count": 0, "carried": 0, "faults": {}, "rest_faults": {},
        "misfits": [], "gaps": [], "last": {},
        "backfill": {"done": 1, "total": 2, "rows": 3, "failed": 0, "error": ""},
    }  # fmt: skip
    return plain | fields


def test_the_only_connection_is_shown_as_it_is() -> None:
    assert added_up({"": part()}, ["p"]) == part(problems=["p"])


def test_several_are_added_up_with_each_one_below() -> None:
    one = part(faults={"odd": 1}, last={"SPY": 1.0}, misfits=["A/1Min/OHLCV"])
    other = part(
        state="polling", alarm="down", lag_ms=900, faults={"odd": 2}, refused="not authorized"
    )
    shown = added_up({"a": one, "b": other}, [])
    assert (shown["state"], shown["streaming"]) == ("streaming", 1)
    assert (shown["messages"], shown["lag_ms"], shown["faults"]) == (20, 900, {"odd": 3})
    assert (shown["alarm"], shown["refused"]) == ("b: down", "b: not authorized")
    assert shown["backfill"]["total"] == 4
    assert shown["lines"] == {"a": one, "b": other}


def test_the_best_state_of_any_is_shown() -> None:
    parts = {"a": part(state="failed"), "b": part(state="waiting")}
    assert added_up(parts, [])["state"] == "waiting"
