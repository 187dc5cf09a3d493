"""One event of every kind of every market, shaped like the vendor's, and the row it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tsstore_massive.schemas import Kind
    from tsstore_massive.symbols import Market

#: 2026-10-05 14:30:00 UTC, in milliseconds.
START = 1_791_210_600_000
MS = 1_000_000
NAN = float("nan")


class Example(NamedTuple):
    """An event and its row.

    Attributes:
        market: of the socket.
        kind: of the row.
        event: as it comes.
        symbol: of the bucket.
        ts: nanoseconds since 1970 UTC.
        row: columns that are neither 0 nor NaN.
    """

    market: Market
    kind: Kind
    event: dict[str, Any]
    symbol: str
    ts: int
    row: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.market}-{self.event['ev']}"


_BAR_MS = {"s": START, "e": START + 60_000}
_SECOND_MS = {"s": START + 3_000, "e": START + 4_000}
_OPTION = "O:AAPL261218C00300000"

EXAMPLES = [
    Example(
        "stocks", "trades",
        {"ev": "T", "sym": "AAPL", "i": "143541", "x": 4, "p": 297.845, "s": 40, "c": [12, 37],
         "t": START + 36, "pt": START + 29, "q": 4938312, "z": 3, "trfi": 202, "trft": START + 36,
         "ds": "40.0"},
        "AAPL", (START + 36) * MS,
        {"Price": 297.845, "Size": 40, "Exchange": 4, "TapeID": 3, "Cond1": 12, "Cond2": 37,
         "TRF": 202, "TradeID": 143541, "Sequence": 4938312, "ParticipantNs": (START + 29) * MS},
    ),
    Example(
        "stocks", "trades",
        {"ev": "T", "sym": "BRK.B", "i": "52983525029461", "x": 11, "p": 501.12, "s": 0,
         "t": START + 101, "pt": START + 100, "q": 4938313, "z": 1, "ds": "0.007300"},
        "BRK.B", (START + 101) * MS,
        {"Price": 501.12, "Size": 0.0073, "Exchange": 11, "TapeID": 1, "TradeID": 52983525029461,
         "Sequence": 4938313, "ParticipantNs": (START + 100) * MS},
    ),
    Example(
        "stocks", "quotes",
        {"ev": "Q", "sym": "AAPL", "i": [604], "bx": 15, "ax": 12, "bp": 297.83, "ap": 297.86,
         "bs": 80, "as": 160, "t": START + 52, "pt": START + 51, "q": 44424715, "z": 3},
        "AAPL", (START + 52) * MS,
        {"BidPrice": 297.83, "AskPrice": 297.86, "BidSize": 80, "AskSize": 160, "BidExchange": 15,
         "AskExchange": 12, "Indicator": 604, "TapeID": 3, "Sequence": 44424715,
         "ParticipantNs": (START + 51) * MS},
    ),
    Example(
        "stocks", "quotes",
        {"ev": "Q", "sym": "GTE", "c": 1, "bx": 11, "bp": 4.21, "bs": 300, "t": START + 90,
         "q": 44424800, "z": 1},
        "GTE", (START + 90) * MS,
        {"BidPrice": 4.21, "BidSize": 300, "BidExchange": 11, "Condition": 1, "TapeID": 1,
         "Sequence": 44424800},
    ),
    Example(
        "stocks", "second_bars",
        {"ev": "A", "sym": "FCX", "v": 4989, "av": 4332125, "op": 75.98, "vw": 78.0894, "o": 78.1,
         "c": 78.08, "h": 78.125, "l": 78.07, "a": 76.8404, "z": 62, **_SECOND_MS, "dv": "4989.0",
         "dav": "4332125.038360"},
        "FCX", (START + 3_000) * MS,
        {"Open": 78.1, "High": 78.125, "Low": 78.07, "Close": 78.08, "Volume": 4989,
         "VWAP": 78.0894},
    ),
    Example(
        "stocks", "bars",
        {"ev": "AM", "sym": "GTE", "v": 4110, "av": 9470157, "op": 0.4372, "vw": 0.4488,
         "o": 0.4488, "c": 0.4486, "h": 0.4489, "l": 0.4486, "a": 0.4352, "z": 685, **_BAR_MS,
         "dv": "4110.25", "dav": "9470157.125", "otc": True},
        "GTE", START * MS,
        {"Open": 0.4488, "High": 0.4489, "Low": 0.4486, "Close": 0.4486, "Volume": 4110.25,
         "VWAP": 0.4488},
    ),
    Example(
        "stocks", "luld",
        {"ev": "LULD", "T": "ATHR", "h": 3.63, "l": 2.97, "i": [15, 21], "z": 3,
         "t": START * MS + 6_310_003_385, "q": 3209681},
        "ATHR", START * MS + 6_310_003_385,
        {"High": 3.63, "Low": 2.97, "Indicator1": 15, "Indicator2": 21, "TapeID": 3,
         "Sequence": 3209681},
    ),
    Example(
        "stocks", "imbalances",
        {"ev": "NOI", "T": "NTEST.Q", "t": START * MS + 23_001_360, "at": 930, "a": "M", "i": 44,
         "x": 10, "o": 480, "p": 440, "b": 25.03},
        "NTEST.Q", START * MS + 23_001_360,
        {"AuctionTime": 930, "AuctionType": "M", "ImbalanceSize": 480, "PairedSize": 440,
         "BookPrice": 25.03, "Exchange": 10, "SymbolSequence": 44},
    ),
    Example(
        "stocks", "fair_values",
        {"ev": "FMV", "fmv": 189.22, "sym": "AAPL", "t": (START + 35) * MS},
        "AAPL", (START + 35) * MS, {"Price": 189.22},
    ),
    Example(
        "options", "trades",
        {"ev": "T", "sym": _OPTION, "x": 312, "p": 4.95, "s": 2, "c": [209], "t": START + 412,
         "q": 718200},
        _OPTION, (START + 412) * MS,
        {"Price": 4.95, "Size": 2, "Exchange": 312, "Cond1": 209},
    ),
    Example(
        "options", "quotes",
        {"ev": "Q", "sym": _OPTION, "bx": 302, "ax": 302, "bp": 4.9, "ap": 5.0, "bs": 17, "as": 24,
         "t": START + 499, "q": 844090},
        _OPTION, (START + 499) * MS,
        {"BidPrice": 4.9, "AskPrice": 5.0, "BidSize": 17, "AskSize": 24, "BidExchange": 302,
         "AskExchange": 302, "Sequence": 844090},
    ),
    Example(
        "options", "bars",
        {"ev": "AM", "sym": "O:ONEM270122C00025000", "v": 2, "av": 8, "op": 2.2, "vw": 2.05,
         "o": 2.05, "c": 2.05, "h": 2.05, "l": 2.05, "a": 2.1312, "z": 1, **_BAR_MS},
        "O:ONEM270122C00025000", START * MS,
        {"Open": 2.05, "High": 2.05, "Low": 2.05, "Close": 2.05, "Volume": 2, "VWAP": 2.05},
    ),
    Example(
        "options", "second_bars",
        {"ev": "A", "sym": _OPTION, "v": 2, "vw": 2.05, "o": 2.05, "c": 2.05, "h": 2.05, "l": 2.05,
         "z": 1, **_SECOND_MS},
        _OPTION, (START + 3_000) * MS,
        {"Open": 2.05, "High": 2.05, "Low": 2.05, "Close": 2.05, "Volume": 2, "VWAP": 2.05},
    ),
    Example(
        "options", "fair_values",
        {"ev": "FMV", "fmv": 4.92, "sym": _OPTION, "t": START + 35},
        _OPTION, (START + 35) * MS, {"Price": 4.92},
    ),
    Example(
        "indices", "values",
        {"ev": "V", "val": 5988.73, "T": "I:SPX", "t": START + 100},
        "I:SPX", (START + 100) * MS, {"Value": 5988.73},
    ),
    Example(
        "indices", "bars",
        {"ev": "AM", "sym": "I:SPX", "op": 5985.07, "o": 5985.67, "c": 5985.54, "h": 5986.18,
         "l": 5985.16, **_BAR_MS},
        "I:SPX", START * MS,
        {"Open": 5985.67, "High": 5986.18, "Low": 5985.16, "Close": 5985.54},
    ),
    Example(
        "indices", "second_bars",
        {"ev": "A", "sym": "I:TICK", "o": 12.0, "c": -310.0, "h": 12.0, "l": -310.0, **_SECOND_MS},
        "I:TICK", (START + 3_000) * MS, {"Open": 12, "High": 12, "Low": -310, "Close": -310},
    ),
    Example(
        "forex", "quotes",
        {"ev": "C", "p": "USD/CNH", "x": 44, "a": 6.8366, "b": 6.8363, "t": START + 42},
        "C:USD-CNH", (START + 42) * MS,
        {"BidPrice": 6.8363, "AskPrice": 6.8366, "BidExchange": 44, "AskExchange": 44,
         "ParticipantNs": (START + 42) * MS},
    ),
    Example(
        "forex", "bars",
        {"ev": "CA", "pair": "USD/EUR", "o": 0.8687, "c": 0.86889, "h": 0.86889, "l": 0.8686,
         "v": 20, **_BAR_MS},
        "C:USD-EUR", START * MS,
        {"Open": 0.8687, "High": 0.86889, "Low": 0.8686, "Close": 0.86889, "Volume": 20},
    ),
    Example(
        "forex", "second_bars",
        {"ev": "CAS", "pair": "USD/EUR", "o": 0.8687, "c": 0.8688, "h": 0.8688, "l": 0.8687,
         "v": 2, **_SECOND_MS},
        "C:USD-EUR", (START + 3_000) * MS,
        {"Open": 0.8687, "High": 0.8688, "Low": 0.8687, "Close": 0.8688, "Volume": 2},
    ),
    Example(
        "forex", "fair_values",
        {"ev": "FMV", "fmv": 1.0631, "sym": "C:EUR-USD", "t": START + 35},
        "C:EUR-USD", (START + 35) * MS, {"Price": 1.0631},
    ),
    Example(
        "crypto", "trades",
        {"ev": "XT", "pair": "BTC-USD", "p": 33021.9, "t": START + 26, "s": 0.01616617, "c": [2],
         "i": "14272084", "x": 3, "r": START + 80},
        "X:BTC-USD", (START + 26) * MS,
        {"Price": 33021.9, "Size": 0.01616617, "Exchange": 3, "Cond1": 2, "TradeID": 14272084,
         "ParticipantNs": (START + 26) * MS},
    ),
    Example(
        "crypto", "quotes",
        {"ev": "XQ", "pair": "BTC-USD", "bp": 33052.79, "bs": 0.48, "ap": 33073.19, "as": 0.601,
         "t": START + 411, "x": 4, "r": START + 451},
        "X:BTC-USD", (START + 411) * MS,
        {"BidPrice": 33052.79, "BidSize": 0.48, "AskPrice": 33073.19, "AskSize": 0.601,
         "BidExchange": 4, "AskExchange": 4, "ParticipantNs": (START + 411) * MS},
    ),
    Example(
        "crypto", "bars",
        {"ev": "XA", "pair": "BCD-USD", "v": 951.6112, "vw": 0.7756, "z": 73, "o": 0.772,
         "c": 0.784, "h": 0.784, "l": 0.771, **_BAR_MS},
        "X:BCD-USD", START * MS,
        {"Open": 0.772, "High": 0.784, "Low": 0.771, "Close": 0.784, "Volume": 951.6112,
         "VWAP": 0.7756},
    ),
    Example(
        "crypto", "second_bars",
        {"ev": "XAS", "pair": "BCD-USD", "v": 1.5, "vw": 0.7756, "z": 1, "o": 0.772, "c": 0.784,
         "h": 0.784, "l": 0.771, **_SECOND_MS},
        "X:BCD-USD", (START + 3_000) * MS,
        {"Open": 0.772, "High": 0.784, "Low": 0.771, "Close": 0.784, "Volume": 1.5,
         "VWAP": 0.7756},
    ),
    Example(
        "crypto", "fair_values",
        {"ev": "FMV", "fmv": 33060.5, "sym": "X:BTC-USD", "t": START + 35},
        "X:BTC-USD", (START + 35) * MS, {"Price": 33060.5},
    ),
    Example(
        "futures", "trades",
        {"ev": "T", "sym": "GCZ6", "p": 2874.3, "s": 2, "t": START + 21, "q": 6173},
        "GCZ6", (START + 21) * MS, {"Price": 2874.3, "Size": 2, "Sequence": 6173},
    ),
    Example(
        "futures", "quotes",
        {"ev": "Q", "sym": "GCZ6", "bp": 2874.2, "bs": 9, "bt": START + 20, "ap": 2874.4, "as": 5,
         "at": START + 21, "t": START + 21},
        "GCZ6", (START + 21) * MS,
        {"BidPrice": 2874.2, "BidSize": 9, "AskPrice": 2874.4, "AskSize": 5,
         "ParticipantNs": (START + 21) * MS},
    ),
    Example(
        "futures", "bars",
        {"ev": "AM", "sym": "GCZ6", "v": 204, "dv": 586357.2, "o": 2874.2, "c": 2874.4,
         "h": 2874.5, "l": 2874.0, "n": 93, **_BAR_MS},
        "GCZ6", START * MS,
        {"Open": 2874.2, "High": 2874.5, "Low": 2874.0, "Close": 2874.4, "Volume": 204,
         "VWAP": 2874.3, "TradeCount": 93},
    ),
    Example(
        "futures", "second_bars",
        {"ev": "A", "sym": "CLK0", "v": 2, "dv": -75.26, "o": -37.63, "c": -37.63, "h": -37.63,
         "l": -37.63, "n": 1, **_SECOND_MS},
        "CLK0", (START + 3_000) * MS,
        {"Open": -37.63, "High": -37.63, "Low": -37.63, "Close": -37.63, "Volume": 2,
         "VWAP": -37.63, "TradeCount": 1},
    ),
]  # fmt: skip
