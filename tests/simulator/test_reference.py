"""Reference data, splits, dividends and snapshots, as the vendor's own client reads them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from massive import RESTClient
from tests.simulator.conftest import Running
from tsstore_massive_simulator.calendar import hours
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.conftest import Start

OPEN = hours(date(2026, 10, 5)).open_ns
NOON = OPEN + 2 * 3600 * 10**9
BEFORE, SPLIT = date(2024, 6, 7), date(2024, 6, 10)  # NVDA, ten for one


@pytest.fixture(scope="module")
def client() -> Iterator[RESTClient]:
    """The vendor's client of a market of forty tickers at noon."""
    simulator = Simulator(GeneratedMarket(seed=7, tickers=40), speed=None, start_ns=NOON)
    with simulator.in_background() as url:
        rest = RESTClient("k", base=url)
        yield rest
        rest.client.clear()


def whole(lister: Any, **params: Any) -> list[Any]:
    """All rows in one page, which must be those of many small pages."""
    rows = list(lister(limit=1000, **params))
    assert len(rows) < 1000
    assert list(lister(limit=7, **params)) == rows
    return rows


def test_tickers_page_with_every_filter(client: RESTClient) -> None:
    every = whole(client.list_tickers, market="stocks")
    names = [each.ticker for each in every]
    assert len(names) == 40
    assert names == sorted(names)
    assert {each.type for each in every} == {"CS", "ETF", "PFD"}
    assert [each.ticker for each in client.list_tickers(cik=every[3].cik)] == [names[3]]
    assert [each.ticker for each in client.list_tickers(type="PFD")] == ["BACpL"]
    assert [each.ticker for each in client.list_tickers(ticker_gte="V", ticker_lt="XOM")] == [
        "V", "WFC", "WMT",
    ]  # fmt: skip
    (gone,) = client.list_tickers(active=False)
    assert (gone.ticker, gone.delisted_utc) == ("OLDC", "2024-02-20T05:00:00Z")


def test_a_renamed_ticker_is_followed(client: RESTClient) -> None:
    events = client.get_ticker_events("META")
    assert [each["ticker_change"]["ticker"] for each in events.events] == ["META", "FB"]
    assert repr(events)
    assert client.get_ticker_events("FB") == client.get_ticker_events(events.cik) == events
    assert client.get_ticker_details("FB", date="2022-06-08").name == "META Inc."
    day = "2022-06-08"
    assert list(client.list_aggs("META", 1, "day", day, day)) == []
    assert len(list(client.list_aggs("FB", 1, "day", day, day))) == 1
    assert len(list(client.list_aggs("META", 1, "day", "2022-06-09", "2022-06-09"))) == 1


def test_a_delisted_ticker_traded_until_its_last_day(client: RESTClient) -> None:
    bars = client.list_aggs("OLDC", 1, "day", "2024-02-12", "2024-03-01")
    assert len(list(bars)) == 5
    assert "OLDC" in {bar.ticker for bar in client.get_grouped_daily_aggs("2024-02-16")}


def test_splits_have_the_vendor_s_oddities(client: RESTClient) -> None:
    splits = whole(client.list_splits)
    days = [each.execution_date for each in splits]
    assert days == sorted(days, reverse=True)
    ids = [each.id for each in splits]
    assert len(ids) == len(set(ids)) + 1
    assert any(each.split_to == 0.625 for each in splits)
    assert any(each.split_from == 0 for each in splits)
    assert days[0] > "2026-10-05"
    reverse = whole(client.list_splits, reverse_split=True)
    assert {each.ticker for each in reverse} >= {"GE", "QQQ"}
    assert [each.execution_date for each in client.list_splits("AAPL", order="asc")] == [
        "2005-02-28", "2014-06-09", "2020-08-31", "2027-06-14",
    ]  # fmt: skip


def test_the_new_form_of_splits_sorts_by_suffix_and_tells_factors(client: RESTClient) -> None:
    rows = whole(client.list_stocks_splits, ticker="AAPL", sort="execution_date.asc")
    assert [each.execution_date[:4] for each in rows] == ["2005", "2014", "2020", "2027"]
    assert rows[0].historical_adjustment_factor == pytest.approx(1 / 112, abs=1e-6)
    ignored = client.list_stocks_splits(ticker="AAPL", params={"order": "asc"})
    assert next(ignored).execution_date[:4] == "2027"
    kinds = whole(client.list_stocks_splits, adjustment_type="reverse_split")
    assert "GE" in {each.ticker for each in kinds}


def test_prices_and_volumes_agree_with_a_split(client: RESTClient) -> None:
    def bars(**options: Any) -> list[Any]:
        return list(client.list_aggs("NVDA", 1, "day", str(BEFORE), str(SPLIT), **options))

    before, after = bars(adjusted=False)
    assert before.close / after.open == pytest.approx(10, rel=0.03)
    adjusted, unchanged = bars()
    assert unchanged == after
    assert adjusted.close == pytest.approx(before.close / 10)
    assert adjusted.volume == pytest.approx(before.volume * 10)
    grouped = {bar.ticker: bar for bar in client.get_grouped_daily_aggs(str(BEFORE))}
    assert grouped["NVDA"].close == adjusted.close
    daily = client.get_daily_open_close_agg("NVDA", str(BEFORE), adjusted=False)
    assert daily.close == before.close


def test_dividends_page_in_both_forms(client: RESTClient) -> None:
    rows = whole(client.list_dividends, ex_dividend_date_gte="2026-06-01")
    days = [each.ex_dividend_date for each in rows]
    assert days == sorted(days, reverse=True)
    assert min(days) >= "2026-06-01"
    assert days[0] > "2026-10-05"
    assert all(each.cash_amount > 0 and each.currency == "USD" for each in rows)
    ticker = rows[0].ticker
    old = whole(client.list_dividends, ticker=ticker, order="asc")
    new = whole(client.list_stocks_dividends, ticker=ticker, sort="ex_dividend_date.asc")
    assert [each.cash_amount for each in new] == [each.cash_amount for each in old]
    assert {each.dividend_type for each in old} <= {"CD", "SC"}
    assert {each.distribution_type for each in new} <= {"recurring", "special"}


def test_codes_are_tables(client: RESTClient) -> None:
    conditions = whole(client.list_conditions, asset_class="stocks")
    assert len({(each.id, each.type) for each in conditions}) == len(conditions)
    assert {each.type for each in conditions if each.id == 41} == {
        "sale_condition", "quote_condition",
    }  # fmt: skip
    odd_lot = next(each for each in conditions if each.id == 37)
    assert odd_lot.update_rules.consolidated.updates_volume
    assert not odd_lot.update_rules.consolidated.updates_high_low
    assert len(client.get_exchanges(asset_class="stocks")) == 27
    assert "CS" in {each.code for each in client.get_ticker_types()}


def test_snapshots_tell_the_day_so_far(client: RESTClient) -> None:
    every = client.get_snapshot_all("stocks")
    assert len(every) == 40
    (apple,) = client.get_snapshot_all("stocks", tickers=["AAPL"])
    assert apple == client.get_snapshot_ticker("stocks", "AAPL")
    minutes = list(client.list_aggs("AAPL", 1, "minute", "2026-10-05", "2026-10-05"))
    assert apple.day.volume == pytest.approx(sum(bar.volume for bar in minutes))
    assert apple.day.high == max(bar.high for bar in minutes)
    assert (apple.min.timestamp, apple.min.close) == (minutes[-1].timestamp, minutes[-1].close)
    assert apple.prev_day.close == client.get_previous_close_agg("AAPL")[0].close
    assert apple.last_trade.sip_timestamp == client.get_last_trade("AAPL").sip_timestamp
    assert apple.last_quote.bid_price == client.get_last_quote("AAPL").bid_price
    assert apple.todays_change == pytest.approx(apple.day.close - apple.prev_day.close, abs=1e-4)
    gainers = client.get_snapshot_direction("stocks", "gainers")
    changes = [each.todays_change_percent for each in gainers]
    assert changes == sorted(changes, reverse=True)
    assert all(change > 0 for change in changes)


def test_universal_snapshots_tell_of_unknown_tickers_among_the_rest(client: RESTClient) -> None:
    apple, unknown = client.list_universal_snapshots(ticker_any_of=["AAPL", "TSLAAPL"])
    assert (apple.ticker, apple.type, apple.market_status) == ("AAPL", "stocks", "open")
    assert apple.session.previous_close > 0
    assert (unknown.error, unknown.message) == ("NOT_FOUND", "Ticker not found.")
    assert len(list(client.list_universal_snapshots(ticker_gte="A", limit=7))) == 40


def test_snapshots_are_cleared_in_the_morning(start: Start, market: GeneratedMarket) -> None:
    cleared = hours(date(2026, 10, 5)).first_ns - 1
    running: Running = start(start_ns=cleared)
    snapshot = running.get("/v2/snapshot/locale/us/markets/stocks/tickers/AAPL").json()["ticker"]
    assert snapshot["day"]["v"] == 0
    assert "lastTrade" not in snapshot
    friday = market.rows(Kind.DAYS, date(2026, 10, 2), ["AAPL"])
    assert snapshot["prevDay"]["c"] == friday["close"][0]
