"""What clients have paid for is what they get."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator.conftest import Running, Talk
from tsstore.clock import ManualClock
from tsstore_massive_simulator.calendar import hours
from tsstore_massive_simulator.limits import RequestCount
from tsstore_massive_simulator.plans import PLANS, PlanError, plans_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.conftest import Start

MARKETS = ("stocks", "crypto")
NOON = hours(date(2026, 10, 5)).open_ns + 2 * 3600 * 10**9
DAYS = "/v2/aggs/ticker/AAPL/range/1/day"
GROUPED = "/v2/aggs/grouped/locale/us/market/stocks"
SNAPSHOT = "/v2/snapshot/locale/us/markets/stocks/tickers/AAPL"
TODAY = "2026-10-05"


@pytest.fixture
def at_noon(start: Start) -> Callable[..., Running]:
    """Starts a simulator at noon with a plan."""

    def begin(plan: str, *faults: str, **options: Any) -> Running:
        plans = plans_of([plan], MARKETS)
        return start(None, *faults, plans=plans, start_ns=NOON, **options)

    return begin


def why_not(running: Running, path: str, **params: Any) -> str:
    """The first words of a refusal; nothing when it is answered."""
    reply = running.get(path, **params)
    if reply.status_code == 200:
        return ""
    assert (reply.status_code, reply.json()["status"]) == (403, "NOT_AUTHORIZED")
    message: str = reply.json()["message"]
    return message.partition(".")[0]


def test_a_plan_may_be_for_one_market() -> None:
    plans = plans_of(["stocks=advanced"], MARKETS)
    assert plans == {"stocks": PLANS["advanced"], "crypto": PLANS["basic"]}
    assert plans_of([], MARKETS) == {}


@pytest.mark.parametrize("text", ["gold", "bonds=basic", "stocks=gold"])
def test_a_wrong_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="is no plan; write basic, starter, developer, advanced"):
        plans_of([text], MARKETS)


NOT_ENTITLED = "You are not entitled to this data"


@pytest.mark.parametrize(
    ("plan", "trades", "quotes", "snapshot"),
    [
        ("basic", NOT_ENTITLED, NOT_ENTITLED, NOT_ENTITLED),
        ("starter", NOT_ENTITLED, NOT_ENTITLED, ""),
        ("developer", "", NOT_ENTITLED, ""),
        ("advanced", "", "", ""),
    ],
)
def test_kinds_of_data_belong_to_plans(
    at_noon: Callable[..., Running], plan: str, trades: str, quotes: str, snapshot: str
) -> None:
    running = at_noon(plan)
    assert why_not(running, "/v3/trades/AAPL", limit=1) == trades
    assert why_not(running, "/v3/quotes/AAPL", limit=1) == quotes
    assert why_not(running, SNAPSHOT) == snapshot
    assert why_not(running, "/v3/reference/splits") == ""


@pytest.mark.parametrize(("plan", "years"), [("basic", 2), ("starter", 5), ("developer", 10)])
def test_old_days_belong_to_plans(at_noon: Callable[..., Running], plan: str, years: int) -> None:
    running, year = at_noon(plan), 2026 - years
    excluded = "Your plan doesn't include this data timeframe"
    assert why_not(running, f"{DAYS}/{year}-10-20/{year}-10-30") == ""
    assert why_not(running, f"{DAYS}/{year}-09-20/{TODAY}") == excluded
    assert why_not(running, f"{GROUPED}/{year}-09-20") == excluded


def test_a_free_plan_ends_with_yesterday(at_noon: Callable[..., Running]) -> None:
    running = at_noon("basic")
    today = "Attempted to request today's data before end of day"
    assert why_not(running, f"{GROUPED}/{TODAY}") == today
    assert why_not(running, f"{DAYS.replace('day', 'minute')}/{TODAY}/{TODAY}") == today
    bars = running.get(f"{DAYS.replace('day', 'minute')}/2026-10-02/{TODAY}").json()["results"]
    assert bars[-1]["t"] < hours(date(2026, 10, 3)).first_ns // 10**6


def test_a_free_plan_is_limited_and_the_simulator_counts(at_noon: Callable[..., Running]) -> None:
    running = at_noon("basic")
    path = f"{GROUPED}/2026-10-01"
    assert [running.get(path).status_code for _ in range(6)] == [200] * 5 + [429]
    assert running.simulator.state()["busiest_minute"] == 5
    assert running.simulator.state()["replies"] == {"200": 5, "429": 1}


def test_requests_are_counted_in_windows_that_slide() -> None:
    clock = ManualClock()
    count = RequestCount(clock)

    def ask(per_minute: int | None = None, per_day: int | None = None) -> bool:
        return count.admit("key", "stocks", per_minute, per_day)

    assert [ask(per_minute=2) for _ in range(3)] == [True, True, False]
    clock.advance(59)
    assert not ask(per_minute=2)
    clock.advance(2)
    assert ask(per_minute=2)
    assert not ask(per_day=3)
    assert count.admit("other", "stocks", 2, 3)
    clock.advance(86_400)
    assert ask(per_day=3)


def test_a_delayed_plan_is_a_quarter_of_an_hour_behind(at_noon: Callable[..., Running]) -> None:
    running = at_noon("developer")
    body = running.get("/v3/trades/AAPL", limit=1).json()
    assert body["status"] == "DELAYED"
    behind = NOON - body["results"][0]["sip_timestamp"]
    assert 900 * 10**9 <= behind < 960 * 10**9
    assert at_noon("advanced").get("/v3/trades/AAPL", limit=1).json()["status"] == "OK"


def test_a_delayed_socket_tells_what_was(
    at_noon: Callable[..., Running], talk: Callable[..., Talk]
) -> None:
    running = at_noon("developer", speed=1)
    client = talk(running)
    client.authenticate()
    client.say("subscribe", "T.*")
    first = client.events(1)[0]
    assert 899 < (running.simulator.state()["now_ns"] - first["t"] * 10**6) / 10**9 < 960


def test_a_free_plan_has_no_socket(
    at_noon: Callable[..., Running], talk: Callable[..., Talk]
) -> None:
    client = talk(at_noon("basic"))
    client.hear()
    client.say("auth", "k")
    assert "plan doesn't include websocket access" in client.hear()[0]["message"]


def test_channels_belong_to_plans(
    at_noon: Callable[..., Running], talk: Callable[..., Talk]
) -> None:
    client = talk(at_noon("starter"))
    client.authenticate()
    client.say("subscribe", "AM.AAPL,T.AAPL,Q.AAPL,T.SPY")
    statuses = client.hear()
    assert [each["message"] for each in statuses] == [
        "not authorized",
        "not authorized",
        "subscribed to: AM.AAPL",
    ]
