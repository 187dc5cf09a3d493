from __future__ import annotations

import pytest

from tsstore.errors import InvalidKeyError
from tsstore.key import BucketKey
from tsstore_massive.schemas import (
    BARS,
    KINDS,
    QUOTES,
    SCHEMAS,
    STREAM_GROUPS,
    TRADES,
    bucket_key,
    bucket_symbol,
)


@pytest.mark.parametrize(
    "symbol", ["AAPL", "BRK.B", "BCpC", "VST.WS.A", "ABCw", "O:AAPL261218C00300000"]
)
def test_a_vendor_symbol_stays_as_it_is(symbol: str) -> None:
    assert bucket_symbol(symbol) == symbol


def test_a_slash_becomes_a_dot() -> None:
    assert bucket_symbol("BTC/USD") == "BTC.USD"


@pytest.mark.parametrize("symbol", ["", "..", "A B", "A*", "A\n", "A" * 200])
def test_a_symbol_no_bucket_can_have_is_none(symbol: str) -> None:
    assert bucket_symbol(symbol) is None


def test_the_key_of_an_impossible_symbol_is_refused() -> None:
    with pytest.raises(InvalidKeyError):
        bucket_key("..", "1Min/OHLCV")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_bucket_and_a_schema(kind: str) -> None:
    assert BucketKey.parse(bucket_key("AAPL", STREAM_GROUPS[kind]))
    assert SCHEMAS[kind].is_variable is (kind != "bars")


def test_the_columns_of_marketstore_users_are_there() -> None:
    assert {"Open", "High", "Low", "Close", "Volume"} <= set(BARS.names)
    assert {"Price", "Size"} <= set(TRADES.names)
    assert {"BidPrice", "AskPrice", "BidSize", "AskSize"} <= set(QUOTES.names)
