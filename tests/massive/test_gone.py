"""What is said of rows that are not there any more."""

from __future__ import annotations

import pytest

from tests.massive.backfilling import MONDAY, TRADE_KEY, TUESDAY, Bench, spread, ticks
from tests.massive.http_server import Server, Vendor


@pytest.fixture
def bench():
    vendor = Vendor()
    vendor.trades["AAPL"] = spread("2024-06-03", 3)
    with Server(vendor) as server:
        yield Bench(server.url, vendor, server)


def test_days_of_a_bucket_that_was_destroyed_are_fetched_again(bench):
    bench.run(ticks(MONDAY, TUESDAY))
    before = bench.everything()
    bench.store.destroy(TRADE_KEY)
    bench.server.requests.clear()
    bench.run(ticks(MONDAY, TUESDAY))
    assert bench.everything() == before
    assert len(bench.server.requests) == 1  # the day that was empty is known still
