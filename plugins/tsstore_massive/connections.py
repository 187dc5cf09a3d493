"""`connections:` of the worker's options, and what is checked before any of them is made.

    connections:
      stocks:      {data_types: [bars, trades], universe: tech_leaders}
      delayed:     {ws_server: wss://delayed.massive.com, api_key_file: second.key, failover: true}
      spx_options: {market: options, symbols: [O:SPXW261218C06000000], enabled: false}

Each is an account of its own with Massive, as far as it says so; what it leaves out is that of the
worker. Massive counts connections per key and cluster of markets, and with one too many it ends
another one, which comes back and ends the first. So more of them than the account has bought are
refused here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from tsstore.errors import ConfigError
from tsstore_massive.optionvalues import fields_without_key, is_vendor, shown_without_key
from tsstore_massive.schemas import Kind  # noqa: TC001  (msgspec reads the annotations)
from tsstore_massive.symbols import MARKETS, Market

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,30}\Z")
DEFAULT_MARKET: Market = "stocks"


class Connection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several connections.

    Attributes:
        market: what it streams; else what the path of `ws_server` says, else stocks.
        ws_server: the streaming service; empty for that of the worker.
        api_key: its key; empty for that of the worker.
        api_key_file: a file with its key.
        data_types: what to stream; empty for those of the worker.
        symbols: exact vendor symbols; with neither these nor a universe, all of the market.
        universe: names of universes, whose symbols are streamed as well.
        enabled: whether it is made at all.
        failover: whether another connection of the market carries its symbols while it is down.
        requests_per_minute: REST requests of its key; 0 for those of the worker.
    """

    market: Market | None = None
    ws_server: str = ""
    api_key: str = ""
    api_key_file: str = ""
    data_types: tuple[Kind, ...] = ()
    symbols: tuple[str, ...] = ()
    universe: str | tuple[str, ...] = ()
    enabled: bool = True
    failover: bool = False
    requests_per_minute: Annotated[int, Meta(ge=0)] = 0

    __repr__ = shown_without_key
    __rich_repr__ = fields_without_key


def check_name(name: str) -> None:
    """Names of connections become parts of bucket names and labels. Raises ConfigError."""
    if not _NAME.match(name):
        raise ConfigError(
            f"connections: {name!r} is no name; use up to 31 letters, digits and underscores, "
            "a letter first"
        )


def stream_url(server: str, market: Market | None) -> str:
    """The socket's URL, path included: the server's own path, or the market's.

    Raises:
        ConfigError: the path is that of another market.
    """
    parts = urlsplit(server)
    path = parts.path.rstrip("/")
    if not path:
        path = f"/{market or DEFAULT_MARKET}"
    elif market is not None and path_market(path) not in (market, None):
        raise ConfigError(
            f"ws_server {server!r} streams {path_market(path)}, and market says {market}; "
            "leave out one of the two"
        )
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def path_market(path: str) -> Market | None:
    """The market of a socket's path: futures of `/futures/cme`; None of one we do not know."""
    first = path.strip("/").partition("/")[0]
    return next((market for market in MARKETS if market == first), None)


def quota_place(url: str) -> str:
    """Where the vendor counts connections: a cluster of markets, whichever of its hosts it is.

    Args:
        url: of the socket, path included; exchanges of futures are one cluster.
    """
    parts = urlsplit(url)
    cluster = parts.path.strip("/").partition("/")[0]
    return cluster if is_vendor(url) else f"{parts.netloc}/{cluster}"


def check_quotas(wanted: Iterable[tuple[str, str, str]], allowed: int) -> None:
    """Refuse connections that would fight over one quota.

    Args:
        wanted: name, key and cluster of each connection; keys are compared and never shown.
        allowed: connections per key and cluster that the account has.

    Raises:
        ConfigError: more of them than allowed.
    """
    sharing = defaultdict[tuple[str, str], list[str]](list)
    for name, key, cluster in wanted:
        sharing[key, cluster].append(name)
    for (_, cluster), names in sharing.items():
        if len(names) > allowed:
            raise ConfigError(
                f"connections {', '.join(sorted(names))} use one API key for {cluster}, and would "
                f"end each other in turn: Massive allows {allowed} for each key and market; put "
                "their symbols into one, give them keys of their own, or set "
                f"connections_allowed: {len(names)} if the account has bought so many"
            )
