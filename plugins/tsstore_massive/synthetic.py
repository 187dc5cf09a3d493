"""`data_source: synthetic`: a vendor on this machine, for who has no key, and rows marked as its.

It is a simulator that the options name, as `tsstore demo` does, or else one in this process, on a
port of loopback. The worker goes through the whole of it like anywhere else, so what runs without a
key is what runs with one. It shares no code with the worker and is imported only here. Each
directory takes either made-up rows or real ones: the store refuses others bucket by bucket, and a
start tells before anything is fetched.
"""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from tsstore.api import Replace, Write, WriteTable
from tsstore.errors import NotFoundError
from tsstore.plugin import FatalPluginError
from tsstore.tables import read_table, schema_of
from tsstore_massive.changes import CHANGES_KEY
from tsstore_massive.optionvalues import is_loopback
from tsstore_massive.schemas import STREAM_GROUPS
from tsstore_massive.universes import UniverseBook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsstore.api import Operation, StoreApi, TableLike
    from tsstore.plugin import WorkerContext
    from tsstore.schema import Schema
    from tsstore_massive.config import Config

_S = TypeVar("_S", bound="StoreApi")
SYNTHETIC = "synthetic"
#: What the simulator takes for a key; it is nobody's.
_NO_KEY = "synthetic"
#: Stocks besides those that are named, which somebody may add.
_WELL_KNOWN = 30
#: Where the worker keeps what it needs itself.
_OWN = "_massive/*/*"
#: Where it stands which days of a symbol were fetched.
_FETCHED = "*/24H/*_BACKFILL"


@contextmanager
def source(context: WorkerContext, config: Config) -> Iterator[tuple[WorkerContext, Config]]:
    """What the worker runs on: as it was given, or with the simulator in place of the vendor.

    Raises:
        FatalPluginError: the directory holds rows of the other kind.
    """
    is_synthetic = config.data_source == SYNTHETIC
    check_unmixed(context.store, config, synthetic=is_synthetic)
    if not is_synthetic:
        yield context, config
        return
    context.status["data_source"] = SYNTHETIC
    with _vendor(config) as simulated:
        context.logger.warning("all rows are made up: data_source is synthetic")
        yield dataclasses.replace(context, store=marking(context.store)), simulated


def is_played_here(config: Config) -> bool:
    """Whether rows are made up in this process, of a market that plays at a time of its own."""
    return config.data_source == SYNTHETIC and not is_loopback(config.base_url)


@contextmanager
def _vendor(config: Config) -> Iterator[Config]:
    """The options of a worker that goes to the simulator as if it were the vendor."""
    if is_loopback(config.base_url):
        yield named_simulator(config)
        return
    with _simulator(config) as url:
        yield msgspec.structs.replace(
            config,
            data_source="massive",
            api_key=_NO_KEY,
            base_url=url,
            ws_server=url.replace("http", "ws", 1) + urlsplit(config.stream_url).path,
        )


def named_simulator(config: Config) -> Config:
    """The options for the simulator that they name, to which one goes as if it were the vendor.

    Those of real rows, and those that name none, are given back as they are.
    """
    if config.data_source != SYNTHETIC or not is_loopback(config.base_url):
        return config
    key = config.api_key or _NO_KEY
    return msgspec.structs.replace(config, data_source="massive", api_key=key)


@contextmanager
def _simulator(config: Config) -> Iterator[str]:
    """One with the wanted stocks and well-known ones, and some of other markets; gives its URL."""
    from tsstore_massive_simulator.generated import GeneratedMarket
    from tsstore_massive_simulator.names import ticker_names
    from tsstore_massive_simulator.othermarkets import other_markets
    from tsstore_massive_simulator.server import Simulator

    wanted = _tickers(config) if config.market == "stocks" else ()
    stocks = GeneratedMarket(tickers=list(dict.fromkeys((*wanted, *ticker_names(_WELL_KNOWN)))))
    simulator = Simulator(stocks, others=other_markets().values(), keys=[_NO_KEY])
    with simulator.in_background() as url:
        yield url


def _tickers(config: Config) -> tuple[str, ...]:
    names = config.universe_names
    book = UniverseBook(config.universes, config.universe_file, names)
    return tuple(dict.fromkeys((*config.bucket_symbols, *book.symbols(names))))


def check_unmixed(store: StoreApi, config: Config, *, synthetic: bool) -> None:
    """Whether the buckets that are to be written to hold rows of this kind, if any.

    Args:
        store: where the rows go.
        config: which rows.
        synthetic: whether they are made up.

    Raises:
        FatalPluginError: some hold the other kind; the text names one of them.
    """
    others = [key for key in _keys(store, config) if _is_other(store, key, synthetic=synthetic)]
    if not others:
        return
    held, named = ("real", SYNTHETIC) if synthetic else (SYNTHETIC, "massive")
    raise FatalPluginError(
        f"{len(others):,} buckets hold {held} rows, such as {others[0]}, and data_source is "
        f"{named}; name another root_directory, or destroy them"
    )


def _keys(store: StoreApi, config: Config) -> list[str]:
    groups = [STREAM_GROUPS[kind] for kind in config.data_types]
    keys: list[str] = []
    for group in groups:
        if config.all_symbols:
            keys += store.list(f"*/{group}")
        else:
            keys += [f"{symbol}/{group}" for symbol in _tickers(config)]
    return keys + _own_keys(store)


def other_kind(store: StoreApi, *, synthetic: bool) -> str | None:
    """A bucket of the worker's own that is of real rows where `synthetic`, else of made-up ones."""
    others = (key for key in _own_keys(store) if _is_other(store, key, synthetic=synthetic))
    return next(others, None)


def _own_keys(store: StoreApi) -> list[str]:
    fetched = store.list(_FETCHED)[:1]  # the others are of its kind
    return fetched + [key for key in store.list(_OWN) if key != CHANGES_KEY]  # commands are neither


def _is_other(store: StoreApi, key: str, *, synthetic: bool) -> bool:
    try:
        return store.info(key).schema.synthetic is not synthetic
    except NotFoundError:
        return False


def marking(store: _S) -> _S:
    """A store that marks everything that is written through it as synthetic."""
    return cast("_S", _Marking(store))


def is_marking(store: StoreApi) -> bool:
    """Whether a store is one of `marking`."""
    return isinstance(store, _Marking)


class _Marking:
    """Everything but writing goes to the store as it is."""

    def __init__(self, store: StoreApi) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, operations: Iterable[Operation]) -> int:
        return self._store.commit(list(map(_marked, operations)))

    def bulk(self, operations: Mapping[str, TableLike] | Iterable[Operation]) -> int:
        if hasattr(operations, "items"):
            operations = [Write(key, data) for key, data in operations.items()]
        return self._store.bulk(list(map(_marked, operations)))

    def write(
        self, key: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        return self.commit([Write(key, data, schema, variable)])

    def write_many(self, batches: Mapping[str, TableLike]) -> int:
        return self.commit(Write(key, data) for key, data in batches.items())

    def write_table(
        self, group: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        return self.commit([WriteTable(group, data, schema, variable)])

    def replace(
        self, key: str, start: Any, end: Any, data: TableLike, *, schema: Schema | None = None
    ) -> int:
        return self.commit([Replace(key, start, end, data, schema)])

    def create(self, key: str, schema: Schema) -> None:
        self._store.create(key, dataclasses.replace(schema, synthetic=True))


def _marked(operation: Operation) -> Operation:
    schema = operation.schema
    if schema is None:
        table = read_table(operation.data, with_symbol=isinstance(operation, WriteTable))
        schema = schema_of(table, variable=operation.variable)
    return operation._replace(schema=dataclasses.replace(schema, synthetic=True))
