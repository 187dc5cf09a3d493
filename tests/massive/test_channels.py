from __future__ import annotations

import pytest
from massive.websocket.models import MARKET_EVENT_MAP
from massive.websocket.models import Market as OfficialMarket

from tsstore.errors import ConfigError
from tsstore_massive.channels import channel_of, channels_of
from tsstore_massive.schemas import KINDS
from tsstore_massive.symbols import MARKETS

#: What the vendor has ended or shows in its own applications only, and minutes under two names.
LEFT_OUT = {"LV", "XL2"}


@pytest.mark.parametrize("market", MARKETS)
def test_the_topics_are_those_of_the_official_client(market) -> None:
    topics = {channel.topic for channel in channels_of(market)}
    official = set(MARKET_EVENT_MAP[OfficialMarket(market)]) - LEFT_OUT
    if market in ("forex", "crypto"):
        official -= {"AM"}
    assert topics == official


def test_every_kind_is_streamed_somewhere() -> None:
    assert {channel.kind for market in MARKETS for channel in channels_of(market)} == set(KINDS)


def test_what_a_market_does_not_have_is_refused_with_what_it_has() -> None:
    with pytest.raises(ConfigError, match="no quotes of indices; there are bars, second_bars, val"):
        channel_of("indices", "quotes")
