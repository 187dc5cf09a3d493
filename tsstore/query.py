"""From what a caller asks for to rows: names, ranges, limits, computed timeframes, functions.

A timeframe that is not stored is computed from the coarsest stored one of the same symbol and
attribute group that divides it and holds bars; bars that are not stored at all, from trades
(`OHLCV` from `TRADE`). The range is widened to whole windows first, so no
window is made of a part of its rows, and a limit counts windows.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from tsstore import aggregate, tradebars
from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError, NotFoundError
from tsstore.key import BucketKey, KeyPattern, check_part, check_unicode, is_pattern
from tsstore.shown import shown
from tsstore.timeframe import Timeframe
from tsstore.times import MAX_NS, MIN_NS, to_ns
from tsstore.zones import NS_PER_DAY, zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tsstore import functions
    from tsstore.api import Snapshot
    from tsstore.clock import Clock
    from tsstore.schema import Schema
    from tsstore.times import TimeLike

#: Names of the time, which every result has whether it is asked for or not.
_TIME_NAMES = frozenset({"Epoch", "Nanoseconds", "ts"})
#: More rows than any bucket has, and little enough to be an int64 with room.
LIMIT_MAX = 2**48
_CLOCK = SystemClock()


class Engine(Protocol):
    """What a query needs of the storage below it."""

    def keys(self) -> list[str]:
        """Keys of all buckets, sorted."""
        ...

    def schema(self, key: str) -> Schema:
        """Columns of a bucket. Raises NotFoundError."""
        ...

    def scan(
        self,
        key: str,
        start_ns: int,
        end_ns: int,
        *,
        limit: int = 0,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Columns:
        """Rows with `start_ns <= ts <= end_ns`, the last (or first) `limit` of them if not 0."""
        ...


class SnapshotEngine(Engine, Protocol):
    """An engine that tells of which moment its rows are."""

    def snapshot(
        self,
        key: str,
        start_ns: int,
        end_ns: int,
        *,
        limit: int = 0,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Snapshot:
        """The rows of `scan` and the newest commit they show."""
        ...


class SlicedEngine(Engine, Protocol):
    """An engine that can be read piece by piece."""

    def slices(
        self,
        key: str,
        start_ns: int,
        end_ns: int,
        rows: int,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Columns]:
        """The same rows, about so many at a time."""
        ...


class Query(NamedTuple):
    """What to read. Every part of the name may be a glob.

    Attributes:
        symbols: names or globs; names that do not exist are left out of the result.
        timeframe: such as `5Min`; a glob selects among the stored ones only.
        attribute_group: such as `OHLCV`.
        start_ns: first instant, included; of a fixed bucket, the whole slot that holds it.
        end_ns: last instant, included.
        limit: at most this many rows of each bucket, the last of the range; 0 for all.
        from_start: with `limit`, the first ones instead.
        columns: only these columns, in this order; None for all.
        drop_unknown_columns: pass over unknown names in `columns`, as MarketStore does.
        functions: calls such as `candlecandler('1H', Open, High, Low, Close)`, applied in order
            after `columns`; `adjust()`, which comes first, to the stored rows.
        tz: zone of the store, whose midnights bound days, weeks, months and years.
    """

    symbols: tuple[str, ...]
    timeframe: str
    attribute_group: str
    start_ns: int = MIN_NS
    end_ns: int = MAX_NS
    limit: int = 0
    from_start: bool = False
    columns: tuple[str, ...] | None = None
    drop_unknown_columns: bool = False
    functions: tuple[str, ...] = ()
    tz: str = "UTC"

    @property
    def target(self) -> str:
        """What is asked for, as people write it: `AAPL,MSFT/1Min/OHLCV`; long lists are cut."""
        more = f",… {len(self.symbols) - 10} more" if len(self.symbols) > 10 else ""
        return f"{','.join(self.symbols[:10])}{more}/{self.timeframe}/{self.attribute_group}"


def read(
    engine: Engine,
    key: str | Sequence[str],
    group: str | None = None,
    *,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    tz: str | None = None,
    limit: int | None = None,
    from_start: bool = False,
    columns: Sequence[str] | None = None,
    functions: Sequence[str] = (),
    store_tz: str = "UTC",
) -> Columns | dict[str, Columns]:
    """`StoreApi.read` over an engine; see there.

    Args:
        engine: where the rows are.
        key: see `StoreApi.read`.
        group: see `StoreApi.read`.
        start: see `StoreApi.read`.
        end: see `StoreApi.read`.
        tz: see `StoreApi.read`.
        limit: see `StoreApi.read`.
        from_start: see `StoreApi.read`.
        columns: see `StoreApi.read`.
        functions: see `StoreApi.read`.
        store_tz: zone of the store, whose midnights bound days, weeks, months and years.
    """
    symbols, timeframe, attribute_group, is_single = parse_target(key, group)
    if tz is not None:
        zone(tz)
    query = Query(
        symbols,
        timeframe,
        attribute_group,
        MIN_NS if start is None else to_ns(start, tz),
        MAX_NS if end is None else to_ns(end, tz),
        check_limit(limit),
        from_start,
        check_columns(columns),
        functions=check_functions(functions),
        tz=store_tz,
    )
    reader = _Reader(engine, query)
    if is_single:
        return reader.named(symbols[0]).in_zone(tz)
    return {name: rows.in_zone(tz) for name, rows in reader.all().items()}


def iterate(
    engine: SlicedEngine,
    key: str,
    *,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    tz: str | None = None,
    rows: int = 1_000_000,
    columns: Sequence[str] | None = None,
    store_tz: str = "UTC",
) -> Iterator[Columns]:
    """`StoreApi.iterate` over an engine; see there. Names are checked before the first slice.

    Args:
        engine: where the rows are.
        key: of a stored bucket.
        start: first instant; a fixed bucket returns the whole slot that holds it.
        end: last instant.
        tz: see `StoreApi.read`.
        rows: of a slice.
        columns: see `StoreApi.read`.
        store_tz: zone of the store, whose midnights bound days, weeks, months and years.
    """
    name = BucketKey.parse(key)
    schema = engine.schema(str(name))
    if tz is not None:
        zone(tz)
    query = Query(
        (name.symbol,),
        name.timeframe,
        name.attribute_group,
        MIN_NS if start is None else to_ns(start, tz),
        MAX_NS if end is None else to_ns(end, tz),
        check_limit(rows),
        columns=check_columns(columns),
        tz=store_tz,
    )
    wanted = None if query.columns is None else _known(query, key, schema.names)
    first = query.start_ns
    if first != MIN_NS and not schema.is_variable:
        first = _slot_start(Timeframe.parse(name.timeframe), first, store_tz)
    found = engine.slices(str(name), first, query.end_ns, query.limit or LIMIT_MAX, wanted)
    return (part.in_zone(tz) for part in found)


def snapshot(
    engine: SnapshotEngine,
    key: str,
    *,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    tz: str | None = None,
    columns: Sequence[str] | None = None,
    store_tz: str = "UTC",
) -> Snapshot:
    """`Store.snapshot` over an engine; see there, and `iterate` for the arguments."""
    name = BucketKey.parse(key)
    schema = engine.schema(str(name))
    if tz is not None:
        zone(tz)
    query = Query(
        (name.symbol,),
        name.timeframe,
        name.attribute_group,
        MIN_NS if start is None else to_ns(start, tz),
        MAX_NS if end is None else to_ns(end, tz),
        columns=check_columns(columns),
        tz=store_tz,
    )
    wanted = None if query.columns is None else _known(query, key, schema.names)
    first = query.start_ns
    if first != MIN_NS and not schema.is_variable:
        first = _slot_start(Timeframe.parse(name.timeframe), first, store_tz)
    found = engine.snapshot(str(name), first, query.end_ns, columns=wanted)
    return found._replace(rows=found.rows.in_zone(tz))


def parse_target(
    key: str | Sequence[str], group: str | None
) -> tuple[tuple[str, ...], str, str, bool]:
    """Symbols, timeframe, attribute group of `read`'s arguments, and whether it is one bucket.

    Raises:
        InvalidKeyError: a name or pattern that cannot be right.
        InvalidArgumentError: symbols without a group, or anything but text.
    """
    if group is None:
        if not isinstance(key, str):
            raise InvalidArgumentError(
                f"read() of a {type(key).__name__} needs the group as well: "
                "read(['AAPL', 'MSFT'], '1Min/OHLCV')"
            )
        if is_pattern(key):
            symbol, timeframe, attribute_group = KeyPattern(key).parts
            return (symbol,), timeframe, attribute_group, False
        parsed = BucketKey.parse(key)
        return (parsed.symbol,), parsed.timeframe, parsed.attribute_group, True
    symbols = (key,) if isinstance(key, str) else _texts("symbols", key)
    for symbol in symbols:
        if not is_pattern(symbol):
            check_part("symbol", symbol)
    timeframe, attribute_group = parse_group(group)
    return symbols, timeframe, attribute_group, False


def parse_group(group: str) -> tuple[str, str]:
    """Timeframe and attribute group of `1Min/OHLCV`.

    Raises:
        InvalidArgumentError: not two parts, or one of them is not allowed.
    """
    parts = str(group).split("/")
    if len(parts) != 2:
        raise InvalidArgumentError(
            f"group {shown(group)} is not timeframe/attribute group; write 1Min/OHLCV"
        )
    if not is_pattern(parts[0]):
        Timeframe.parse(parts[0])
    if not is_pattern(parts[1]):
        check_part("attribute group", parts[1])
    return parts[0], parts[1]


def check_limit(limit: object) -> int:
    """The limit as `Query.limit`, in which 0 stands for no limit."""
    if limit is None:
        return 0
    if isinstance(limit, bool) or not isinstance(limit, int | np.integer) or limit < 1:
        raise InvalidArgumentError(
            f"limit {shown(limit)} is not a number of rows from 1; leave it out to read all"
        )
    return min(int(limit), LIMIT_MAX)


def check_columns(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """The columns as `Query.columns`."""
    return None if columns is None else _texts("columns", columns)


def check_functions(functions: Sequence[str]) -> tuple[str, ...]:
    """The calls as `Query.functions`."""
    return _texts("functions", functions)


def _texts(what: str, given: Any) -> tuple[str, ...]:
    """Names as plain text, whatever list, array or iterator they came in."""
    names = tuple(given) if hasattr(given, "__iter__") else (given,)
    if isinstance(given, str | bytes) or not all(isinstance(name, str) for name in names):
        raise InvalidArgumentError(f"{what} {shown(given)} is not a list of names")
    for name in names:
        check_unicode(name)
    return tuple(map(str, names))


def run(engine: Engine, query: Query, *, clock: Clock | None = None) -> dict[str, Columns]:
    """Rows of every bucket asked for, by key, sorted by key.

    Args:
        engine: where the rows are.
        query: what to read.
        clock: gives the time of rows that stand for no instant of the data (`count()`).

    Raises:
        NotFoundError: there is none of these buckets.
        InvalidArgumentError: an unknown column or function, or one that does not fit the columns.
        CorruptionError: the rows cannot be read as they were written.
    """
    return _Reader(engine, query, clock).all()


class _Reader:
    """One query at work on one engine."""

    def __init__(self, engine: Engine, query: Query, clock: Clock | None = None) -> None:
        self._engine = engine
        self._query = query
        self._clock = clock or _CLOCK
        self._calls: list[functions.Call] = []
        self._why_not = ""  # why a bucket was not computed from others of its symbol
        if query.functions:
            self._prepare()

    def _prepare(self) -> None:
        from tsstore import functions  # few queries have any, and all would wait for the import
        from tsstore.adjust import AdjustedEngine

        self._calls = [functions.parse(text) for text in self._query.functions]
        if self._calls[0].name == "adjust":
            tz = self._query.tz
            wanted = functions.adjustment(self._calls.pop(0), tz, self._clock)
            self._engine = AdjustedEngine(self._engine, wanted, tz)

    def all(self) -> dict[str, Columns]:
        """Rows by key, sorted; NotFoundError when there are no buckets."""
        query = self._query
        found: dict[str, Columns | None] = {}
        for symbol in query.symbols:
            target = f"{symbol}/{query.timeframe}/{query.attribute_group}"
            keys = self._matching(target) if is_pattern(target) else [target]
            for key in keys:
                if key not in found:
                    found[key] = self._read(key)
        results = {key: rows for key, rows in sorted(found.items()) if rows is not None}
        if not results:
            raise self._nothing()
        return results

    def named(self, symbol: str) -> Columns:
        """Rows of one bucket; NotFoundError when it is not there."""
        rows = self._read(f"{symbol}/{self._query.timeframe}/{self._query.attribute_group}")
        if rows is None:
            raise self._nothing()
        return rows

    def _nothing(self) -> NotFoundError:
        target = self._query.target
        nothing = "no bucket matches" if is_pattern(target) else "there is no bucket"
        # Clients look for one or the other of these two phrases.
        return NotFoundError.of_bucket(
            f"{nothing} {target}{self._why_not}",
            f"no results returned from query: Target: {target}: no files returned from query "
            "parse: ",
        )

    def _matching(self, target: str) -> list[str]:
        """Keys, stored or perhaps computable, that a pattern names."""
        keys = self._engine.keys()
        pattern = KeyPattern(target)
        symbol, timeframe, group = pattern.parts
        if is_pattern(timeframe):
            return pattern.filter(keys)
        stored = [key.split("/") for key in KeyPattern(f"{symbol}/*/{group}").filter(keys)]
        targets = [f"{name}/{timeframe}/{of}" for name, _, of in stored]
        if group == tradebars.BARS:
            trades = KeyPattern(f"{symbol}/*/{tradebars.TRADES}").filter(keys)
            targets += [f"{key.split('/')[0]}/{timeframe}/{group}" for key in trades]
        return list(dict.fromkeys(targets))

    def _timeframes(self, symbol: str, group: str) -> list[str]:
        """The stored timeframes of a symbol and attribute group."""
        keys = self._engine.keys()
        first, end = bisect_left(keys, f"{symbol}/"), bisect_left(keys, f"{symbol}0")  # / and next
        parts = [key.split("/") for key in keys[first:end]]
        return [timeframe for _, timeframe, of in parts if of == group]

    def _read(self, key: str) -> Columns | None:
        rows = self._found(key)
        if rows is None:
            return None
        if self._calls:
            from tsstore import functions

            return functions.apply(rows, self._calls, tz=self._query.tz, clock=self._clock)
        return rows.as_partial() if self._is_partial(key, rows) else rows

    def _is_partial(self, key: str, rows: Columns) -> bool:
        """Whether the slot of the last row goes on."""
        if rows.variable or not len(rows):
            return False
        timeframe = Timeframe.parse(key.split("/")[1])
        last, now_ns = int(rows.ts[-1]), self._clock.now_ns()
        return (
            last + timeframe.duration_ns > now_ns
            and _slot_end(timeframe, last, self._query.tz) >= now_ns
        )

    def _found(self, key: str) -> Columns | None:
        try:
            return self._scan(key, self._engine.schema(key))
        except NotFoundError:
            pass  # it is not stored, but finer bars may be
        try:
            return self._computed(key)
        except NotFoundError:
            return None  # those were destroyed meanwhile

    def _scan(self, key: str, schema: Schema) -> Columns:
        query = self._query
        columns = None if query.columns is None else _known(query, key, schema.names)
        start_ns, end_ns = query.start_ns, query.end_ns
        if start_ns > end_ns:
            rows = Columns.empty(schema)
            return rows if columns is None else rows.select(columns)
        if start_ns != MIN_NS and not schema.is_variable:
            start_ns = _slot_start(Timeframe.parse(key.split("/")[1]), start_ns, query.tz)
        return self._engine.scan(
            key,
            start_ns,
            end_ns,
            limit=query.limit,
            from_start=query.from_start,
            columns=columns,
        )

    def _computed(self, key: str) -> Columns | None:
        """Windows made of finer bars, or None when none are stored that fit."""
        query = self._query
        name = BucketKey.parse(key)
        target = Timeframe.parse(name.timeframe)
        base = self._base(name.symbol, target, name.attribute_group)
        if base is None:
            return None
        base_key, schema = base
        of_trades = tradebars.is_trades(schema)
        names = tradebars.OUTPUT_NAMES if of_trades else aggregate.output_names(schema)
        if query.columns is not None:
            names = tuple(_known(query, key, names))
        if of_trades:
            inputs, resample = tradebars.input_names(schema), tradebars.resample
        else:
            inputs, resample = aggregate.input_names(names), aggregate.resample
        if query.start_ns > query.end_ns:
            return resample(Columns.empty(schema), target, query.tz).select(names)
        return self._windows(base_key, target, names, inputs, resample)

    def _base(self, symbol: str, target: Timeframe, group: str) -> tuple[str, Schema] | None:
        """Key and schema of the coarsest stored bars that the target's windows are made of."""
        stored = [(Timeframe.parse(text), text) for text in self._timeframes(symbol, group)]
        stored.sort(key=lambda pair: (-pair[0].duration_ns, pair[1]))
        for timeframe, text in stored:
            if not timeframe.divides(target, self._query.tz):
                continue
            key = f"{symbol}/{text}/{group}"
            schema = self._engine.schema(key)
            if aggregate.is_bars(schema):
                return key, schema
            self._why_not = (
                f", and {key} has no Open, High, Low and Close to compute it from (use SQL)"
            )
        if stored and not self._why_not:
            there = ", ".join(text for _, text in reversed(stored))
            self._why_not = f", and of {there}, which is stored, windows of {target} cannot be made"
        return self._trades(symbol) if group == tradebars.BARS else None

    def _trades(self, symbol: str) -> tuple[str, Schema] | None:
        """Key and schema of the stored trades of a symbol."""
        for timeframe in self._timeframes(symbol, tradebars.TRADES):
            key = f"{symbol}/{timeframe}/{tradebars.TRADES}"
            schema = self._engine.schema(key)
            if tradebars.is_trades(schema):
                return key, schema
        return None

    def _windows(
        self,
        base_key: str,
        target: Timeframe,
        names: tuple[str, ...],
        inputs: list[str],
        resample: Callable[[Columns, Timeframe, str], Columns],
    ) -> Columns:
        query = self._query
        start_ns = _slot_start(target, query.start_ns, query.tz)
        end_ns = _slot_end(target, query.end_ns, query.tz)
        base = Timeframe.parse(base_key.split("/")[1])
        rows_asked = query.limit * (target.duration_ns // base.duration_ns + 1)
        while True:
            rows = self._engine.scan(
                base_key,
                start_ns,
                end_ns,
                limit=rows_asked,
                from_start=query.from_start,
                columns=inputs,
            )
            windows = resample(rows, target, query.tz).select(names)
            if query.limit == 0:
                return windows
            # The window at the far end may lack rows, unless one more window shows it is whole.
            if len(windows) > query.limit or len(rows) < rows_asked:
                break
            rows_asked *= 2
        if query.from_start:
            return windows.slice(0, query.limit)
        return windows.slice(max(0, len(windows) - query.limit), len(windows))


def _known(query: Query, where: str, names: tuple[str, ...]) -> list[str]:
    """The columns asked for, each once, in the order asked for."""
    wanted = dict.fromkeys(query.columns or ())
    unknown = [name for name in wanted if name not in names and name not in _TIME_NAMES]
    if unknown and not query.drop_unknown_columns:
        raise InvalidArgumentError(
            f"{where} has no column {shown(unknown[0])}; there are {', '.join(names)}"
        )
    return [name for name in wanted if name in names]


def _slot_start(timeframe: Timeframe, ns: int, tz: str) -> int:
    if ns - MIN_NS < _margin_ns(timeframe):
        return MIN_NS
    if not timeframe.is_calendar:
        return ns - ns % timeframe.duration_ns
    return int(timeframe.floor(np.array([ns], np.int64), tz)[0])


def _slot_end(timeframe: Timeframe, ns: int, tz: str) -> int:
    if MAX_NS - ns < _margin_ns(timeframe):
        return MAX_NS
    return int(timeframe.next(np.array([ns], np.int64), tz)[0]) - 1


def _margin_ns(timeframe: Timeframe) -> int:
    """How near the ends of int64 a slot may leave them; days are for time zones."""
    return timeframe.duration_ns + 2 * NS_PER_DAY
