from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.errors import InvalidKeyError
from tsstore_massive.schemas import bucket_key
from tsstore_massive.symbols import (
    Market,
    bars_symbol,
    bucket_symbol,
    market_of,
    parse_symbol,
    streamed_symbol,
)

OPTION = "O:SPY251219C00650000"


@pytest.mark.parametrize(
    ("market", "bucket", "streamed", "bars"),
    [
        ("stocks", "BRK.B", "BRK.B", "BRK.B"),
        ("stocks", "BCpC", "BCpC", "BCpC"),
        ("options", OPTION, OPTION, OPTION),
        ("indices", "I:SPX", "I:SPX", "I:SPX"),
        ("forex", "C:EUR-USD", "EUR/USD", "C:EURUSD"),
        ("crypto", "X:BTC-USD", "BTC-USD", "X:BTCUSD"),
        ("crypto", "X:1INCH-USDT", "1INCH-USDT", "X:1INCHUSDT"),
        ("futures", "GCZ6", "GCZ6", "GCZ6"),
        ("futures", "ESZ6-ESH27", "ESZ6-ESH27", "ESZ6-ESH27"),
    ],
)
def test_all_spellings_of_the_vendor_are_one_bucket(
    market: Market, bucket: str, streamed: str, bars: str
) -> None:
    assert market_of(bucket) == market
    assert streamed_symbol(bucket) == streamed
    assert bars_symbol(bucket) == bars
    for spelling in (bucket, streamed, bars):
        assert bucket_symbol(spelling, market) == bucket
    for spelling in (bucket, bars):
        assert bucket_symbol(spelling) == bucket


@pytest.mark.parametrize(
    ("text", "market", "bucket"),
    [
        ("EURUSD", "forex", "C:EUR-USD"),
        ("EUR-USD", "forex", "C:EUR-USD"),
        ("C:EUR/USD", None, "C:EUR-USD"),
        ("BTCUSD", "crypto", "X:BTC-USD"),
        ("ETHBTC", "crypto", "X:ETH-BTC"),
        ("SPX", "indices", "I:SPX"),
        (OPTION[2:], "options", OPTION),
        ("BRK/B", None, "BRK.B"),
        ("ESH27", None, "ESH27"),
    ],
)
def test_people_may_leave_out_what_goes_without_saying(
    text: str, market: Market | None, bucket: str
) -> None:
    assert parse_symbol(text, market) == bucket


@pytest.mark.parametrize(
    ("text", "market", "words"),
    [
        ("EUR/USD", None, "write C:EUR-USD for forex or X:EUR-USD"),
        ("BTC-USD", "stocks", "is a pair"),
        ("X:FOOBAR", None, "cannot be read|no pair of crypto that can be read in one way"),
        ("C:EUR", None, "write it as C:BASE-QUOTE, such as C:EUR-USD"),
        ("X:BTC-USD", "forex", "is a symbol of crypto, not of forex"),
        ("O:", None, "empty"),
        ("..", None, "dots"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_way_to_write_it(
    text: str, market: Market | None, words: str
) -> None:
    with pytest.raises(InvalidKeyError, match=words):
        parse_symbol(text, market)
    assert bucket_symbol(text, market) is None


@pytest.mark.parametrize("symbol", ["", "..", "A B", "A*", "A\n", "A" * 200])
def test_a_symbol_no_bucket_can_have_is_none(symbol: str) -> None:
    assert bucket_symbol(symbol) is None


def test_the_key_of_an_impossible_symbol_is_refused() -> None:
    with pytest.raises(InvalidKeyError):
        bucket_key("..", "1Min/OHLCV")


@given(st.text(max_size=20), st.sampled_from([None, "stocks", "forex", "crypto", "options"]))
def test_a_buckets_symbol_stays_as_it_is(text: str, market: Market | None) -> None:
    symbol = bucket_symbol(text, market)
    if symbol is not None:
        assert bucket_symbol(symbol, market) == symbol
        assert bucket_symbol(symbol) in (symbol, None if market == "stocks" else symbol)
