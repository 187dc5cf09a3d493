"""What plugins of MarketStore a mkts.yml may name that are not available here.

Such a file shall start the server all the same, so these, and others that end in `.so`, are passed
over with a warning that says what to do, while a name that looks mistyped stays an error.
"""

from __future__ import annotations

#: Plugins that MarketStore or its forks bring along. One that is installed here is used.
MODULES = frozenset(
    {
        "alpaca",
        "alpacabkfeeder",
        "alpacav2",
        "binancefeeder",
        "binancefeeder_v2",
        "bitmexfeeder",
        "gdaxfeeder",
        "ice",
        "iex",
        "polygon",
        "polyiex",
        "slait",
        "streamreplay",
        "xignitefeeder",
    }
)

#: What to use instead of some of them.
INSTEAD = {"polygon": "its vendor is called Massive now, so use massive.so with your key"}
_INSTEAD = "`tsstore plugin new` makes one of your own in Python (docs/plugins.md)"

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


def not_here(name: str) -> str:
    """What the log says about a plugin that is passed over."""
    return (
        f"{name} is a plugin of MarketStore that there is none of here, so the server starts "
        f"without it; {INSTEAD.get(name, _INSTEAD)}, or remove the entry"
    )
