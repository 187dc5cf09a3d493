"""`python -m benchmarks.official URL --bars|--trades FIRST END`: the vendor's client, page by page.

It reads the same pages as our backfiller into its objects, and prints how many there were.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta

from massive import RESTClient
from tsstore_massive.datasets import Dataset
from tsstore_massive.sessions import MarketCalendar

_MS = 1_000_000
_PAGE = 50_000


def main(url: str, kind: str, first: str, end: str) -> int:
    """Read everything; returns how many rows."""
    client = RESTClient(api_key="benchmark", base=url)
    dataset = Dataset.parse("1Min" if kind == "--bars" else "trades")
    last = date.fromisoformat(end) - timedelta(days=1)
    days = MarketCalendar().days(date.fromisoformat(first), last)
    step = dataset.days_per_request
    spans = [
        dataset.window(some[0].item(), some[-1].item())
        for some in (days[at : at + step] for at in range(0, len(days), step))
    ]
    rows = 0
    for ticker in [each.ticker for each in client.list_tickers(market="stocks", limit=1000)]:
        for start_ns, end_ns in spans:
            if kind == "--bars":
                found = client.list_aggs(
                    ticker, 1, "minute", start_ns // _MS, end_ns // _MS,
                    adjusted=False, sort="asc", limit=_PAGE,
                )  # fmt: skip
            else:
                found = client.list_trades(
                    ticker, timestamp_gte=start_ns, timestamp_lte=end_ns, order="asc",
                    sort="timestamp", limit=_PAGE,
                )  # fmt: skip
            rows += sum(1 for _ in found)
    return rows


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
