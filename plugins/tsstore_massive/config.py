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
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from tsstore.errors import ConfigError, InvalidKeyError
from tsstore_massive.changes import ALL
from tsstore_massive.channels import Channel, channel_of
from tsstore_massive.connections import Connection, check_name, path_market, stream_url
from tsstore_massive.datasets import Dataset
from tsstore_massive.optionvalues import (
    check_url,
    fields_without_key,
    is_loopback,
    shown_without_key,
)
from tsstore_massive.schemas import Kind, ReferenceKind  # noqa: TC001  (msgspec reads them)
from tsstore_massive.symbols import (
    MARKETS,
    AssetClass,
    Market,
    parse_symbol,
)
from tsstore_massive.universes import Lists  # noqa: TC001

API_KEY_VARIABLE = "MASSIVE_API_KEY"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `config:` of the worker may say.

    Attributes:
        data_source: `massive`, or `synthetic` for a market that is made up on this machine, by the
            simulator that `base_url` and `ws_server` name there, or else in this process: it needs
            no key, and its rows are marked.
        api_key: the key; else it is read from `api_key_file`, else from $MASSIVE_API_KEY.
        api_key_file: a file that holds nothing but the key.
        base_url: the REST service.
        ws_server: the streaming service; its path is the market, unless `market` says it.
        data_types: what to stream and to backfill.
        chosen_market: `market` in the file; else what the path of `ws_server` says, else stocks.
        symbols: exact symbols in any of the vendor's spellings; `*`, or neither these nor a
            universe, for all of them.
        universe: names of universes, whose symbols are wanted as well.
        universes: named lists of symbols, see `universes.py`.
        universe_file: a file with further ones, read again whenever it changes.
        connections: several connections by name, in place of the only one; see `connections.py`.
        connections_allowed: how many the account has for each key and market.
        query_start: first day of history by bar length, and by the words trades and quotes; a
            mapping or a list of mappings. What is not named is not backfilled.
        bar_frequencies: bar lengths to backfill, up to 1H such as divide an hour; 1D, 1W, 1M, 1Y.
        backfill_batch_size: rows asked for in one request, at most 50000.
        backfill_adjusted: whether backfilled bars are adjusted for splits by the vendor; streamed
            ones are as traded, and `adjust()` is for bars as traded.
        ws_query_start: asks a server on this machine (the simulator) to replay that day.
        requests_per_minute: REST requests in any minute, of all programs with the key on this
            machine together; 5 on the free plan.
        requests_per_day: the same for any day, for plans that limit it.
        requests_by_class: the same in any minute for `stocks`, `options`, `indices`, `forex`,
            `crypto`, `futures` or `reference`, where the plan allows less.
        quota_directory: where the use of these is kept over restarts; `tsstore` in
            $XDG_STATE_HOME, or else in ~/.local/state, if empty.
        reference: what of `splits`, `dividends`, `tickers` and `names` is kept up to date daily.
        backfill_parallelism: symbols that are fetched by REST at a time; None for as many as pay.
        queue_bytes: received and not yet stored bytes at which reading from the socket stops.
        ping_interval_s: seconds between pings, and the time allowed for the answer.
        mute_timeout_s: seconds without a message, in market hours, that count as a broken line.
        dead_after_s: seconds after which a connection that is down has its symbols carried by
            another one, if its `failover` says so.
        poll_after_s: seconds after which bars are fetched by REST, minute by minute, until the
            connection streams again; 0 for never.
    """

    data_source: Literal["massive", "synthetic"] = "massive"
    api_key: str = ""
    api_key_file: str = ""
    base_url: str = "https://api.massive.com"
    ws_server: str = "wss://socket.massive.com"
    data_types: Annotated[tuple[Kind, ...], Meta(min_length=1)] = ("bars",)
    chosen_market: Market | None = msgspec.field(default=None, name="market")
    symbols: tuple[str, ...] = ()
    universe: str | tuple[str, ...] = ()
    universes: Lists = {}
    universe_file: str = ""
    connections: dict[str, Connection] = {}
    connections_allowed: Annotated[int, Meta(ge=1, le=100)] = 1
    query_start: dict[str, date] | tuple[dict[str, date], ...] = ()
    bar_frequencies: Annotated[tuple[str, ...], Meta(min_length=1)] = ("1Min",)
    backfill_batch_size: Annotated[int, Meta(ge=1, le=50_000)] = 50_000
    backfill_adjusted: bool = False
    ws_query_start: date | None = None
    requests_per_minute: Annotated[int, Meta(ge=1)] = 6_000
    requests_per_day: Annotated[int, Meta(ge=1)] | None = None
    requests_by_class: dict[AssetClass, Annotated[int, Meta(ge=1)]] = {}
    quota_directory: str = ""
    reference: tuple[ReferenceKind, ...] = ()
    backfill_parallelism: Annotated[int, Meta(ge=1, le=64)] | None = None
    queue_bytes: Annotated[int, Meta(ge=65_536)] = 64 * 2**20
    ping_interval_s: Annotated[float, Meta(gt=0)] = 20.0
    mute_timeout_s: Annotated[float, Meta(gt=0)] = 120.0
    dead_after_s: Annotated[float, Meta(gt=0)] = 60.0
    poll_after_s: Annotated[float, Meta(ge=0)] = 120.0

    def __post_init__(self) -> None:
        check_url("base_url", self.base_url, plain="http", secure="https")
        check_url("ws_server", self.ws_server, plain="ws", secure="wss")
        if self.data_source != "massive" and is_loopback(self.base_url) != is_loopback(
            self.ws_server
        ):
            raise ConfigError(
                "data_source is synthetic, and one of base_url and ws_server is a simulator on "
                "this machine; name it in both, or in neither for one in this process"
            )
        for name in ("data_types", "reference"):  # what is named twice is wanted once
            msgspec.structs.force_setattr(self, name, tuple(dict.fromkeys(getattr(self, name))))
        if self.connections:
            self._check_connections()
        else:
            _ = self.channels  # refuses data types that the market does not have
            _ = self.bucket_symbols
        for timeframe in self.bar_frequencies:
            _dataset("bar_frequencies", timeframe)
        _ = self.starts
        if self.ws_query_start is not None and not is_loopback(self.ws_server):
            raise ConfigError(
                "ws_query_start works only with a ws_server on this machine (the simulator); "
                "remove it, the vendor replays nothing"
            )

    def _check_connections(self) -> None:
        if self.data_source != "massive":
            raise ConfigError("connections go to Massive; leave them out, or data_source")
        own = {"symbols": self.symbols, "universe": self.universe, "market": self.chosen_market}
        stray = [name for name, value in own.items() if value]
        if stray or urlsplit(self.ws_server).path.strip("/"):
            what = ", ".join(stray) or "the path of ws_server"
            raise ConfigError(f"with connections, {what} is said of each of them; move it there")
        for name in self.connections:
            check_name(name)
            self.of_connection(name)

    __repr__ = shown_without_key
    __rich_repr__ = fields_without_key

    @property
    def starts(self) -> dict[Dataset, date]:
        """First day of history by what it is of. Raises ConfigError."""
        given = self.query_start
        starts: dict[Dataset, date] = {}
        for mapping in (given,) if isinstance(given, dict) else given:
            for name, day in mapping.items():
                dataset = _dataset("query_start", name)
                if starts.setdefault(dataset, day) != day:
                    raise ConfigError(
                        f"query_start: {dataset} begin on {starts[dataset]} and on {day}; "
                        "leave one out"
                    )
        return starts

    @property
    def all_symbols(self) -> bool:
        """Whether every symbol of the market is wanted."""
        return ALL in self.symbols or not (self.symbols or self.universe)

    @property
    def universe_names(self) -> tuple[str, ...]:
        """The universes whose symbols are wanted."""
        names = self.universe
        return ((names,) if names else ()) if isinstance(names, str) else names

    @property
    def stream_url(self) -> str:
        """The socket's URL, path included; it never holds the key."""
        return stream_url(self.ws_server, self.chosen_market)

    @property
    def market(self) -> Market:
        """Whose events the socket sends: the first part of its path."""
        market = path_market(urlsplit(self.stream_url).path)
        if market is None:
            raise ConfigError(
                f"ws_server {self.ws_server!r} names no market that we know; the path must be "
                f"one of /{', /'.join(MARKETS)}, or be left out for /stocks"
            )
        return market

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What `data_types` names, in its order."""
        return tuple(channel_of(self.market, kind) for kind in self.data_types)

    @property
    def bucket_symbols(self) -> tuple[str, ...]:
        """The symbols that were named, as buckets spell them, each once."""
        named = (symbol for symbol in self.symbols if symbol != ALL)
        return tuple(dict.fromkeys(symbol_of(self.market, symbol) for symbol in named))

    def of_connection(self, name: str) -> Config:
        """The options of a worker that makes one of the connections and no other.

        Raises:
            ConfigError: it is not what the worker can do.
        """
        options = self.connections[name]
        keys = options if options.api_key or options.api_key_file else self
        try:
            return msgspec.structs.replace(
                self,
                connections={},
                chosen_market=options.market,
                ws_server=options.ws_server or self.ws_server,
                api_key=keys.api_key,
                api_key_file=keys.api_key_file,
                data_types=options.data_types or self.data_types,
                symbols=options.symbols,
                universe=options.universe,
                requests_per_minute=options.requests_per_minute or self.requests_per_minute,
            )
        except ConfigError as error:
            raise ConfigError(f"connections: {name}: {error}") from None

    def resolve_key(self) -> str:
        """The API key, from wherever it was put.

        Raises:
            ConfigError: there is none, or its file cannot be read; or none is wanted.
        """
        if self.data_source != "massive":
            raise ConfigError(
                f"data_source is {self.data_source}: nothing is fetched from Massive, and nothing "
                "is sent there; for real rows take data_source out, for history of a running "
                "massive_simulator name it in base_url and ws_server"
            )
        key = self.api_key or self._key_from_file() or os.environ.get(API_KEY_VARIABLE, "")
        key = key.strip()
        if not key:
            raise ConfigError(
                "no Massive API key: set api_key or api_key_file of the massive worker, or the "
                f"environment variable {API_KEY_VARIABLE}; data_source: synthetic needs none, nor "
                "does a server without the worker"
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


def symbol_of(market: Market, text: str) -> str:
    """The bucket's symbol of one that a person wrote. Raises ConfigError."""
    if ALL not in text and "," not in text:
        try:
            return parse_symbol(text, market)
        except InvalidKeyError as error:
            problem = f": {error}"
    else:
        problem = ""
    raise ConfigError(
        f"symbols: {text!r} is not a symbol of {market}{problem}; write exact names such as AAPL, "
        "or leave the option out for all"
    )


def _reason(error: Exception) -> str:
    return error.strerror or "cannot be read" if isinstance(error, OSError) else "is not text"


def _dataset(option: str, text: str) -> Dataset:
    try:
        return Dataset.parse(text)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None
