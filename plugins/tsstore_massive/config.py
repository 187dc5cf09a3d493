"""Options of the Massive worker: the reference's names and defaults, and a few of our own.

    bgworkers:
      - module: massive.so
        name: Massive
        config:
          api_key: ${MASSIVE_API_KEY}      # or api_key_file, or just the environment variable
          data_types: [bars, trades, quotes]
          symbols: [AAPL, BRK.B]           # left out: all of them
          query_start: {1Min: 2024-01-01}  # left out: no backfill of history

The API key appears in no text that is made from a config.
"""

from __future__ import annotations

import os
from datetime import date  # noqa: TC003  (msgspec reads the annotations)
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from tsstore.errors import ConfigError, InvalidKeyError
from tsstore.timeframe import Timeframe
from tsstore_massive.channels import Channel, channel_of
from tsstore_massive.schemas import Kind  # noqa: TC001  (msgspec reads the annotations)
from tsstore_massive.symbols import MARKETS, Market, parse_symbol

API_KEY_VARIABLE = "MASSIVE_API_KEY"
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_TICK_STARTS = frozenset({"trades", "quotes"})


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `config:` of the worker may say.

    Attributes:
        data_source: `massive`, or `synthetic` for a market that is made up on this machine: it
            needs no key, and its rows are marked.
        api_key: the key; else it is read from `api_key_file`, else from $MASSIVE_API_KEY.
        api_key_file: a file that holds nothing but the key.
        base_url: the REST service.
        ws_server: the streaming service; its path is the market, /stocks when it has none.
        data_types: what to stream and to backfill.
        symbols: exact symbols in any of the vendor's spellings; empty, or `*`, for all of them.
        query_start: first day of history by bar length, and by the words trades and quotes; a
            mapping or a list of mappings. What is not named is not backfilled.
        bar_frequencies: bar lengths to backfill; the socket delivers 1Min.
        backfill_batch_size: rows asked for in one request, at most 50000.
        backfill_adjusted: whether backfilled bars are adjusted for splits.
        ws_query_start: asks a server on this machine (the simulator) to replay that day.
        requests_per_minute: REST requests in any minute, of all programs with the key on this
            machine together; 5 on the free plan.
        requests_per_day: the same for any day, for plans that limit it.
        quota_directory: where the use of these is kept over restarts; `tsstore` in
            $XDG_STATE_HOME, or else in ~/.local/state, if empty.
        backfill_parallelism: symbols that are fetched by REST at a time; None for as many as pay.
        queue_bytes: received and not yet stored bytes at which reading from the socket stops.
        ping_interval_s: seconds between pings, and the time allowed for the answer.
        mute_timeout_s: seconds without a message, in market hours, that count as a broken line.
    """

    data_source: Literal["massive", "synthetic"] = "massive"
    api_key: str = ""
    api_key_file: str = ""
    base_url: str = "https://api.massive.com"
    ws_server: str = "wss://socket.massive.com"
    data_types: Annotated[tuple[Kind, ...], Meta(min_length=1)] = ("bars",)
    symbols: tuple[str, ...] = ()
    query_start: dict[str, date] | tuple[dict[str, date], ...] = ()
    bar_frequencies: Annotated[tuple[str, ...], Meta(min_length=1)] = ("1Min",)
    backfill_batch_size: Annotated[int, Meta(ge=1, le=50_000)] = 50_000
    backfill_adjusted: bool = True
    ws_query_start: date | None = None
    requests_per_minute: Annotated[int, Meta(ge=1)] = 6_000
    requests_per_day: Annotated[int, Meta(ge=1)] | None = None
    quota_directory: str = ""
    backfill_parallelism: Annotated[int, Meta(ge=1, le=64)] | None = None
    queue_bytes: Annotated[int, Meta(ge=65_536)] = 64 * 2**20
    ping_interval_s: Annotated[float, Meta(gt=0)] = 20.0
    mute_timeout_s: Annotated[float, Meta(gt=0)] = 120.0

    def __post_init__(self) -> None:
        _check_url("base_url", self.base_url, plain="http", secure="https")
        _check_url("ws_server", self.ws_server, plain="ws", secure="wss")
        _ = self.channels  # refuses data types that the market does not have
        for symbol in self.symbols:
            _check_symbol(symbol, self.market)
        for timeframe in self.bar_frequencies:
            _check_timeframe("bar_frequencies", timeframe)
        for name in self.starts:
            if name not in _TICK_STARTS:
                _check_timeframe("query_start", name)
        if self.ws_query_start is not None and not is_loopback(self.ws_server):
            raise ConfigError(
                "ws_query_start works only with a ws_server on this machine (the simulator); "
                "remove it, the vendor replays nothing"
            )

    def __repr__(self) -> str:
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name != "api_key"
        )
        return f"Config(api_key=***, {', '.join(shown)})"

    def __rich_repr__(self) -> Any:
        for name in self.__struct_fields__:
            yield name, "***" if name == "api_key" else getattr(self, name)

    @property
    def starts(self) -> dict[str, date]:
        """First day of history by bar length or by the words trades and quotes."""
        if isinstance(self.query_start, dict):
            return self.query_start
        return {name: day for mapping in self.query_start for name, day in mapping.items()}

    @property
    def all_symbols(self) -> bool:
        """Whether every symbol of the market is wanted."""
        return not self.symbols or "*" in self.symbols

    @property
    def bucket_symbols(self) -> tuple[str, ...]:
        """The symbols that were named, as buckets spell them."""
        named = (symbol for symbol in self.symbols if symbol != "*")
        return tuple(parse_symbol(symbol, self.market) for symbol in named)

    @property
    def stream_url(self) -> str:
        """The socket's URL, path included; it never holds the key."""
        parts = urlsplit(self.ws_server)
        path = parts.path if parts.path.strip("/") else "/stocks"
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))

    @property
    def market(self) -> Market:
        """Whose events the socket sends: the first part of its path."""
        name = urlsplit(self.stream_url).path.strip("/").partition("/")[0]
        for market in MARKETS:
            if name == market:
                return market
        raise ConfigError(
            f"ws_server {self.ws_server!r} names the market {name!r}; the path must be one of "
            f"/{', /'.join(MARKETS)}, or be left out for /stocks"
        )

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What `data_types` names, in its order."""
        return tuple(channel_of(self.market, kind) for kind in self.data_types)

    def resolve_key(self) -> str:
        """The API key, from wherever it was put.

        Raises:
            ConfigError: there is none, or its file cannot be read; or none is wanted.
        """
        if self.data_source != "massive":
            raise ConfigError(
                f"data_source is {self.data_source}: nothing is fetched from Massive, and nothing "
                "is sent there; for real rows take data_source out"
            )
        key = self.api_key or self._key_from_file() or os.environ.get(API_KEY_VARIABLE, "")
        key = key.strip()
        if not key:
            raise ConfigError(
                "no Massive API key: set api_key or api_key_file of the massive worker, or the "
                f"environment variable {API_KEY_VARIABLE}; a server without the worker needs none"
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError("the Massive API key holds blanks or unprintable characters")
        return key

    def _key_from_file(self) -> str:
        if not self.api_key_file:
            return ""
        try:
            return Path(self.api_key_file).expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"api_key_file {self.api_key_file!r}: {_reason(error)}") from None


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    return (urlsplit(url).hostname or "") in _LOOPBACK_HOSTS


def _reason(error: Exception) -> str:
    return error.strerror or "cannot be read" if isinstance(error, OSError) else "is not text"


def _check_url(option: str, url: str, *, plain: str, secure: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in (plain, secure) or not parts.hostname:
        raise ConfigError(f"{option} {url!r} is not a URL such as {secure}://host")
    if parts.username or parts.query:
        raise ConfigError(f"{option} holds more than scheme, host and path; put the key in api_key")
    if parts.scheme == plain and not is_loopback(url):
        raise ConfigError(
            f"{option} {url!r} would send the API key unencrypted; use {secure}:// "
            f"({plain}:// is for servers on this machine)"
        )


def _check_symbol(symbol: str, market: Market) -> None:
    if symbol == "*":
        return
    try:
        parse_symbol(symbol, market)
    except InvalidKeyError as error:
        raise ConfigError(
            f"symbols: {symbol!r} is not a symbol of {market}: {error}; write exact names such as "
            "AAPL, or leave the option out for all"
        ) from None


def _check_timeframe(option: str, text: str) -> None:
    try:
        Timeframe.parse(text)
    except InvalidKeyError:
        raise ConfigError(f"{option}: {text!r} is not a bar length such as 1Min") from None
