"""The REST service: reachable, the key accepted, what the plan has, and whose clock is wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from tsstore.usmarket import NEW_YORK
from tsstore.zones import NS_PER_SECOND, zone
from tsstore_massive.doctor.findings import fail, ok, skip, warn
from tsstore_massive.doctor.questions import DEPTHS, bars, history, questions
from tsstore_massive.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tsstore_massive.doctor.findings import Finding
    from tsstore_massive.doctor.probe import Answer, Probe
    from tsstore_massive.doctor.questions import Question
    from tsstore_massive.symbols import Market

_STATUS_PATH = "/v1/marketstatus/now"
#: A header tells whole seconds, and an answer is some time under way.
_SKEW_WARN_S = 2.5
#: From here on rows of the stream count as late or as of the future, and market hours are wrong.
_SKEW_FAIL_S = 60.0
#: Names of times in nanoseconds and of prices, as the answers have them.
_TIMES = ("sip_timestamp", "participant_timestamp", "timestamp", "window_start")
_PRICES = ("c", "close", "price", "bid_price", "ask_price")
_BUY = "take it out of the options, or take a plan that has it: https://massive.com/pricing"
_LATER = (
    "history works: let it end with the day before (-to, --end); a plan that has today's data as "
    "well: https://massive.com/pricing"
)
_THROTTLED = (
    "wait a minute, and set requests_per_minute to what the plan allows (5 on the free one); "
    "another program may use the same key"
)


def requests_needed(markets: Sequence[Market], day: date) -> int:
    """How many requests `check_service` makes at most."""
    asked = sum(len(questions(market, day)) + 1 for market in markets)
    return 1 + asked + (_bisections() if "stocks" in markets else 0)


def check_service(
    probe: Probe,
    markets: Sequence[Market],
    wanted: Collection[str],
    *,
    today: date,
    day: date,
    key_source: str,
) -> Iterator[Finding]:
    """Ask the service for everything that may be wanted of it.

    Args:
        probe: asks.
        markets: whose data to ask for.
        wanted: kinds of data that the options name; without them nothing works.
        today: in New York.
        day: a market day that is over.
        key_source: where the key is from.
    """
    try:
        answer = probe.get(_STATUS_PATH)
        yield _judge_first(probe.host, answer)
        if answer.status == 401:
            yield fail(
                "key accepted",
                f"{probe.host} refuses it: {answer.text}",
                f"put the API key of the vendor's dashboard (not a key of S3) into {key_source}",
            )
            return
        if answer.status == 429 or answer.status >= 500 or not answer.body:
            return
        yield ok("key accepted", f"by {probe.host}")
        yield _judge_clock(answer)
        for market in markets:
            yield from _check_market(probe, market, wanted, today, day)
        if "stocks" in markets:
            yield _check_depth(probe, today)
    except UnreachableError as error:
        yield fail(
            "REST", f"{probe.host} cannot be reached: {error}", "check the network and base_url"
        )
    except _ThrottledError:
        yield warn("requests", f"{probe.host} says that they are too many (429)", _THROTTLED)


class _ThrottledError(Exception):
    """The quota is used up; more questions would only use more of the next minute's."""


def _judge_first(host: str, answer: Answer) -> Finding:
    if answer.status == 429:
        return warn("REST", f"{host} answers, but asks to wait (429)", _THROTTLED)
    if answer.status >= 500:
        return fail("REST", f"{host} fails ({answer.status})", "try again later; it is theirs")
    if not answer.body:
        return fail(
            "REST",
            f"{host} answers {answer.status} and something that is not JSON",
            "check base_url; a proxy may answer in place of the service",
        )
    return ok("REST", f"{host} answers in {answer.seconds * 1e3:.0f} ms")


def _judge_clock(answer: Answer) -> Finding:
    server_ns = answer.date_ns
    if server_ns is None:
        server_ns = _server_time_ns(answer)
    if server_ns is None:
        return skip("clock", "the service does not tell the time")
    # Half a second in the middle: what is told is cut to whole seconds.
    skew_s = (answer.asked_ns - server_ns) / NS_PER_SECOND - 0.5
    found = f"{abs(skew_s):,.1f} s {'ahead of' if skew_s > 0 else 'behind'} the service"
    advice = "have the machine's clock set, such as by chrony or systemd-timesyncd"
    if abs(skew_s) > _SKEW_FAIL_S:
        return fail("clock", found, advice)
    if abs(skew_s) > _SKEW_WARN_S:
        return warn("clock", found, advice)
    return ok("clock", "agrees with that of the service")


def _server_time_ns(answer: Answer) -> int | None:
    try:
        return int(datetime.fromisoformat(answer.body["serverTime"]).timestamp()) * NS_PER_SECOND
    except (KeyError, TypeError, ValueError):
        return None


def _check_market(
    probe: Probe, market: Market, wanted: Collection[str], today: date, day: date
) -> Iterator[Finding]:
    for question in questions(market, day):
        is_wanted = question.kind in wanted
        if question.kind != "bars" or market == "futures":
            yield _judge(question, _ask(probe, question), is_wanted=is_wanted)
            continue
        answer = _ask(probe, bars(market, day, today))
        if _is_about_today(answer):
            answer = _ask(probe, question)
            note = "; today's not before the day is over"
        else:
            note = "; 15 minutes late" if answer.body.get("status") == "DELAYED" else ""
        yield _judge(question, answer, is_wanted=is_wanted, note=note)


def _is_about_today(answer: Answer) -> bool:
    """Whether it is refused as the plan has a day's data only when the day is over."""
    return answer.status == 403 and "today" in answer.text


def _ask(probe: Probe, question: Question) -> Answer:
    answer = probe.get(question.path, **question.query)
    if answer.status == 429:
        raise _ThrottledError
    return answer


def _judge(question: Question, answer: Answer, *, is_wanted: bool, note: str = "") -> Finding:
    check = f"{question.market} {question.kind}"
    if answer.status == 200:
        return ok(check, f"in the plan{note}; {_newest(question, answer)}")
    if answer.status == 403:
        if not is_wanted:
            return ok(check, "not in the plan, and not among the data_types")
        if _is_about_today(answer):
            return warn(check, f"not before the day is over: {answer.text}", _LATER)
        return fail(check, f"not in the plan: {answer.text}", _BUY)
    return warn(
        check,
        f"{question.path} answers {answer.status} {answer.text}".rstrip(),
        "nothing can be said of the plan; try again later",
    )


def _newest(question: Question, answer: Answer) -> str:
    """What came, so that people see that it is real."""
    row = answer.results[0] if answer.results else None
    if not isinstance(row, dict):
        return f"no rows of {question.ticker} in these days"
    time_ns = next((row[name] for name in _TIMES if name in row), row.get("t", 0) * 1_000_000)
    price = next((row[name] for name in _PRICES if name in row), None)
    local = datetime.fromtimestamp(time_ns / NS_PER_SECOND, UTC).astimezone(zone(NEW_YORK))
    return f"{question.ticker} {local:%Y-%m-%d %H:%M} New York: {price}"


def _check_depth(probe: Probe, today: date) -> Finding:
    """How many years back the plan reaches, by halving."""
    low, high = 0, len(DEPTHS)  # the first `low` depths are in the plan, those from `high` on not
    while low < high:
        middle = (low + high) // 2
        answer = _ask(probe, history(_years_before(today, DEPTHS[middle])))
        if answer.status == 403:
            high = middle
        elif answer.status == 200:
            low = middle + 1
        else:
            return skip("stocks history", f"{probe.host} answers {answer.status} {answer.text}")
    if not low:
        advice = f"set query_start to a day less than {DEPTHS[0]} years ago, and try again"
        return warn("stocks history", f"reaches back less than {DEPTHS[0]} years", advice)
    return ok("stocks history", f"reaches back {DEPTHS[low - 1]} years or more")


def _bisections() -> int:
    return len(DEPTHS).bit_length()


def _years_before(day: date, years: int) -> date:
    # A week less, so that a plan of exactly so many years has it, whatever it counts from.
    moved = day.replace(year=day.year - years, day=min(day.day, 28))
    return date.fromordinal(moved.toordinal() + 7)
