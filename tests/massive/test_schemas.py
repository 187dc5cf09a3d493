from __future__ import annotations

import pytest

from tsstore.key import BucketKey
from tsstore_massive.schemas import (
    BAR_KINDS,
    BARS,
    KINDS,
    QUOTES,
    SCHEMAS,
    STREAM_GROUPS,
    TRADES,
    bucket_key,
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_bucket_and_a_schema(kind: str) -> None:
    assert BucketKey.parse(bucket_key("AAPL", STREAM_GROUPS[kind]))
    assert SCHEMAS[kind].is_variable is (kind not in BAR_KINDS)
    assert bool(SCHEMAS[kind].identity) is (kind not in BAR_KINDS)


def test_the_columns_of_marketstore_users_are_there() -> None:
    assert {"Open", "High", "Low", "Close", "Volume"} <= set(BARS.names)
    assert {"Price", "Size"} <= set(TRADES.names)
    assert {"BidPrice", "AskPrice", "BidSize", "AskSize"} <= set(QUOTES.names)
