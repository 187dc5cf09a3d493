"""MarketStore's `DataService`, one function per method.

What its clients look at (field names and their order, texts of errors, which failures are errors of
the call and which stand inside the answer) is kept; what loses or garbles data is not.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import Write
from tsstore.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    InvalidKeyError,
    LimitExceededError,
    NotFoundError,
    TsStoreError,
)
from tsstore.key import KEY_CATEGORY, BucketKey, is_own
from tsstore.query import run
from tsstore.schema import Schema, type_name
from tsstore.server import params as request
from tsstore.server.lanes import Kind
from tsstore.server.sqlreply import sql_dataset, sql_limits
from tsstore.timeframe import Timeframe
from tsstore.times import to_ns
from tsstore.wire.codec import Int64, MalformedBodyError
from tsstore.wire.dataset import WriteRows, to_dataset
from tsstore.zones import NS_PER_DAY, zone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tsstore.api import Snapshot
    from tsstore.columns import Columns
    from tsstore.query import Engine, SnapshotEngine
    from tsstore.server.served import ServedStore
    from tsstore.server.settings import ServerSettings

logger = logging.getLogger(__name__)

#: Numbers that GetInfo gives to the types of columns.
_TYPE_CODES = {
    "f4": 0, "i4": 1, "f8": 2, "i8": 3, "i1": 5, "b1": 6, "i2": 9,
    "u1": 10, "u2": 11, "u4": 12, "u8": 13, "U16": 14,
}  # fmt: skip
_YEAR_NS = 365 * NS_PER_DAY
_WARNINGS_MAX = 100
_EPOCH_CODE = 4
_STRING_CODE = 8


class DataService:
    """The methods of MarketStore over a store.

    Every method takes decoded parameters, returns what `result` of the answer holds, and raises
    TsStoreError for what becomes `error`. Methods are called from several threads.
    """

    def __init__(self, store: ServedStore, settings: ServerSettings, *, version: str) -> None:
        self._store = store
        self._settings = settings
        self._version = version
        self._warned: set[str] = set()  # buckets

    def methods(self) -> dict[str, Callable[[Any], dict[str, Any]]]:
        """Functions by the name that clients call."""
        return {
            "DataService.Query": self.query,
            "DataService.Write": self.write,
            "DataService.Create": self.create,
            "DataService.Destroy": self.destroy,
            "DataService.ListSymbols": self.list_symbols,
            "DataService.GetInfo": self.get_info,
        }

    def kinds(self) -> dict[str, Callable[[Any], Kind]]:
        """Of the methods that are not always short."""
        return {"DataService.Query": self._kind_of_query}

    def _kind_of_query(self, params: Any) -> Kind:
        try:
            requests = request.read_requests(
                params, request.QueryRequest, self._settings.requests_max
            )
        except (TsStoreError, MalformedBodyError):  # which the call itself answers
            return Kind.SHORT
        return Kind.SQL if any(one.is_sqlstatement for one in requests) else Kind.SHORT

    def query(self, params: Any) -> dict[str, Any]:
        """Rows of buckets or of statements; one dataset per request."""
        requests = request.read_requests(params, request.QueryRequest, self._settings.requests_max)
        engine = BudgetEngine(self._store.engine, self._settings.reply_bytes_max)
        responses = [
            self._statement(one) if one.is_sqlstatement else self._rows(engine, one)
            for one in requests
        ]
        return {
            "responses": responses or None,
            "version": self._version,
            "timezone": self._store.timezone,
        }

    def _statement(self, one: request.QueryRequest) -> dict[str, Any]:
        database = self._store.sql_database(sql_limits(self._settings))
        found = database.run(one.sql_statement, bytes_max=self._settings.reply_bytes_max)
        return {"result": sql_dataset(found, one.sql_statement)}

    def _rows(self, engine: Engine, one: request.QueryRequest) -> dict[str, Any]:
        batches = run(engine, request.query_of(one, self._store.timezone))
        _check_same_columns(batches, engine)
        partial = [f"{key}:{KEY_CATEGORY}" for key, rows in batches.items() if rows.partial]
        return {"result": to_dataset(batches)} | ({"partial": partial} if partial else {})

    def write(self, params: Any) -> dict[str, Any]:
        """Rows to buckets; each request is one atomic unit, and only failures are answered."""
        requests = request.read_requests(params, request.WriteRequest, self._settings.requests_max)
        failures = []
        for one in requests:
            try:
                self._write_one(one)
            except TsStoreError as error:
                failures.append(self._answer(str(error)))
        return {"responses": failures or None}

    def _write_one(self, one: request.WriteRequest) -> None:
        rows = WriteRows(request.dataset_of(one))
        variable = one.is_variable_length
        self._store.commit(
            Write(key, rows.rows(start, stop), variable=variable)
            for key, start, stop in rows.slices
            if start < stop
        )
        self._warn_of_1970(rows)

    def _warn_of_1970(self, rows: WriteRows) -> None:
        """Tell of a mistake that no answer can tell: thousandths of seconds are times too.

        Clients divide the index of a frame by a thousand million, whatever its unit.
        """
        key = rows.slices[0][0] if rows.slices else ""
        ts = rows.table.ts[:1]
        if key in self._warned or not ((ts > 0) & (ts < _YEAR_NS)).any():
            return
        if len(self._warned) == _WARNINGS_MAX:
            return
        self._warned.add(key)
        logger.warning(
            "%s: rows of %s are written; if they are not that old, the client took other units for "
            'nanoseconds: give its frames an index of datetime64[ns] (`.as_unit("ns")`)',
            key,
            ts.astype("M8[ns]").astype("M8[D]")[0],
        )

    def create(self, params: Any) -> dict[str, Any]:
        """Empty buckets; one answer per request."""
        requests = request.read_requests(params, request.CreateRequest, self._settings.requests_max)
        return {"responses": [self._attempt(self._create_one, one) for one in requests] or None}

    def _create_one(self, one: request.CreateRequest) -> None:
        try:
            key = BucketKey.parse(one.key)
        except InvalidKeyError as error:
            raise InvalidKeyError(
                f'key "{one.key[:200]}" is not in proper format, should be like: '
                f"TSLA/1Min/OHLCV:Symbol/TimeFrame/AttributeGroup ({error})"
            ) from None
        try:
            self._store.create(str(key), request.schema_of(one))
        except AlreadyExistsError as error:
            raise AlreadyExistsError(
                "creation of new catalog entry failed: Can not overwrite file: File is already "
                f"in directory ({error})"
            ) from None

    def destroy(self, params: Any) -> dict[str, Any]:
        """Remove buckets; one answer per request."""
        requests = request.read_requests(params, request.KeyRequest, self._settings.requests_max)
        return {"responses": [self._attempt(self._destroy_one, one) for one in requests] or None}

    def _destroy_one(self, one: request.KeyRequest) -> None:
        key = BucketKey.parse(one.key)
        try:
            self._store.destroy(str(key))
        except NotFoundError as error:
            raise NotFoundError(
                "removal of catalog entry failed: Unable to find level item: "
                f"{key.symbol} in directory ({error})"
            ) from None

    def list_symbols(self, params: Any) -> dict[str, Any]:
        """Keys or symbols, of one timeframe or with rows on one day when that is asked for.

        Those that plugins keep for themselves are none that a client of MarketStore would read.
        """
        wanted = request.read_params(params, request.ListSymbolsParams)
        keys = [key for key in self._store.list() if not is_own(key)]
        if wanted.timeframe:
            timeframe = Timeframe.parse(wanted.timeframe)
            keys = [key for key in keys if Timeframe.parse(key.split("/")[1]) == timeframe]
        if wanted.date:
            start_ns, end_ns = _day(wanted.date, self._store.timezone)
            keys = [key for key in keys if self._has_rows(key, start_ns, end_ns)]
        if wanted.format != "tbk":
            keys = sorted({key.split("/")[0] for key in keys})
        return {"Results": keys}

    def _has_rows(self, key: str, start_ns: int, end_ns: int) -> bool:
        try:
            info = self._store.info(key)
            if info.first_ns is None or info.last_ns is None:
                return False
            if info.last_ns < start_ns or info.first_ns > end_ns:
                return False
            return len(self._store.engine.scan(key, start_ns, end_ns, limit=1)) > 0
        except NotFoundError:  # destroyed since it was listed
            return False

    def get_info(self, params: Any) -> dict[str, Any]:
        """Columns, kind and latest year of buckets."""
        requests = request.read_requests(params, request.KeyRequest, self._settings.requests_max)
        return {"responses": [self._info_one(one) for one in requests] or None}

    def _info_one(self, one: request.KeyRequest) -> dict[str, Any]:
        try:
            key = BucketKey.parse(one.key)
            info = self._store.info(str(key))
        except TsStoreError as error:
            text = f"unable to get info about key {one.key[:200]}: {error}"
            return _info_answer(0, 0, None, 0, self._answer(text))
        last_ns = info.last_ns
        year = 0 if last_ns is None else np.datetime64(last_ns, "ns").astype("M8[Y]").astype(int)
        return _info_answer(
            int(year) + 1970 if last_ns is not None else 0,
            Timeframe.parse(key.timeframe).duration_ns,
            _described(info.schema),
            info.schema.kind.value,
            self._answer(""),
        )

    def _attempt(self, function: Callable[[Any], None], one: Any) -> dict[str, str]:
        try:
            function(one)
        except TsStoreError as error:
            return self._answer(str(error))
        return self._answer("")

    def _answer(self, error: str) -> dict[str, str]:
        return {"error": error, "version": self._version}


class BudgetEngine:
    """An engine that stops reading before the answer of one call grows past a limit."""

    def __init__(self, engine: SnapshotEngine, bytes_max: int) -> None:
        self._engine = engine
        self._bytes_max = bytes_max
        self._bytes_left = bytes_max

    def keys(self) -> list[str]:
        """Keys of all buckets."""
        return self._engine.keys()

    def schema(self, key: str) -> Schema:
        """Columns of a bucket."""
        return self._engine.schema(key)

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
        """Rows of a bucket.

        Raises:
            LimitExceededError: they are more than may still be read.
        """
        return self.snapshot(
            key, start_ns, end_ns, limit=limit, from_start=from_start, columns=columns
        ).rows

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
        """The same rows, with the commit up to which they are."""
        row_bytes = self._row_bytes(key, columns)
        affordable = self._bytes_left // row_bytes
        found = self._engine.snapshot(
            key,
            start_ns,
            end_ns,
            limit=min(limit or affordable + 1, affordable + 1),
            from_start=from_start or limit == 0,
            columns=columns,
        )
        self._bytes_left -= len(found.rows) * row_bytes
        if len(found.rows) > affordable:
            raise LimitExceededError(
                f"the answer would be larger than the server's limit of {self._bytes_max} bytes "
                f"(at {key}); ask for a shorter range, fewer symbols or columns"
            )
        return found

    def _row_bytes(self, key: str, columns: Sequence[str] | None) -> int:
        schema = self._engine.schema(key)
        if columns is None:
            return schema.row_bytes
        return 8 + sum(schema.dtypes[name].itemsize for name in columns if name in schema.dtypes)


def _check_same_columns(batches: Mapping[str, Columns], engine: Engine) -> None:
    if len(_shapes(batches, by_width=True)) == 1:
        return
    # Sums are computed in the widest type, which is wider than that of some stored bars.
    is_one_computed = not batches.keys() <= set(engine.keys())
    if is_one_computed and len(_shapes(batches, by_width=False)) == 1:
        return
    symbols = " ".join(key.split("/")[0] for key in batches)
    raise InvalidArgumentError(
        "symbols in a query must have the same data type or be filtered by common columns. "
        f"symbols=[{symbols}]"
    )


def _shapes(batches: Mapping[str, Columns], *, by_width: bool) -> set[tuple[Any, ...]]:
    """The different kinds, names and types there are; of types, i4 and i8 are one or two."""
    return {
        (
            rows.variable,
            *((name, a.dtype.str if by_width else a.dtype.kind) for name, a in rows.items()),
        )
        for rows in batches.values()
    }


def _described(schema: Schema) -> list[dict[str, Any]]:
    shape = [{"Name": "Epoch", "Type": Int64(_EPOCH_CODE)}]
    for name, dtype in schema.columns:
        code = _TYPE_CODES.get(type_name(dtype), _STRING_CODE)
        shape.append({"Name": name, "Type": Int64(code)})
    return shape


def _info_answer(
    year: int,
    timeframe_ns: int,
    shape: list[dict[str, Any]] | None,
    kind: int,
    answer: dict[str, str],
) -> dict[str, Any]:
    return {
        "LatestYear": Int64(year),
        "TimeFrame": Int64(timeframe_ns),
        "DSV": shape,
        "RecordType": Int64(kind),
        "ServerResp": answer,
    }


def _day(text: str, tz: str) -> tuple[int, int]:
    """First and last instant of a day: `2013-10-08`, or the day that holds an epoch second."""
    if text.isascii() and text.removeprefix("-").isdecimal():
        seconds = to_ns(int(text)) // 1_000_000_000
        day = datetime.fromtimestamp(seconds, UTC).astimezone(zone(tz)).date()
    else:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise InvalidArgumentError(
                f"date {text[:40]!r} is not a day; write 2013-10-08"
            ) from None
    return to_ns(day, tz), to_ns(day + timedelta(days=1), tz) - 1
