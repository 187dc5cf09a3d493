"""What plugins of MarketStore a mkts.yml may name that are not available here.

Such a file shall start the server all the same, so these are passed over with a warning, while a
name that neither side knows stays an error.
"""

from __future__ import annotations

#: Plugins that MarketStore or its forks bring along. One that is installed here is used.
MODULES = frozenset(
    {
        "alpaca",
        "alpacabkfeeder",
        "binancefeeder",
        "binancefeeder_v2",
        "bitmexfeeder",
        "gdaxfeeder",
        "iex",
        "polygon",
        "polyiex",
        "slait",
        "streamreplay",
        "xignitefeeder",
    }
)

#: By plugin, options of the reference that have no effect here, with what the log says about them.
OPTIONS = {
    "massive": {
        "ws_frequencies": "the stream delivers 1Min",
        "ws_data_types": "see data_types",
        "attrgroup_types": "column types are fixed",
        "symbols_dsn": "list the symbols in `symbols`; without it all of the market is streamed",
        "sync_queries": "not available yet",
    },
}
