"""Parameters of MarketStore's methods, in every spelling that its clients use.

Fields are matched without regard to case and underscores: msgpack clients send `epoch_start`, JSON
clients `EpochStart`. A field that is nil counts as not sent.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeVar

import msgspec

from tsstore.errors import InvalidArgumentError, InvalidKeyError, LimitExceededError
from tsstore.key import KEY_CATEGORY
from tsstore.query import Query
from tsstore.schema import Schema, parse_dtype, parse_shapes
from tsstore.timeframe import Timeframe, similar
from tsstore.times import MAX_NS, MIN_NS
from tsstore.typed import whole
from tsstore.wire.codec import MalformedBodyError, fields, plain_name
from tsstore.wire.dataset import Dataset
from tsstore.zones import NS_PER_SECOND

_P = TypeVar("_P", bound=msgspec.Struct)

_JSON_ALIASES = {
    "Dataset": {"columntypes": "types", "columnnames": "names", "columndata": "data"},
    "WriteRequest": {"data": "dataset"},
}
_PARTS = frozenset(KEY_CATEGORY.split("/"))
_CATEGORY_SUFFIX = re.compile(r"(.*):((?:Symbol|Timeframe|AttributeGroup)(?:/[A-Za-z]+)*)")


class QueryRequest(msgspec.Struct):
    """One element of `DataService.Query`."""

    destination: str = ""
    key_category: str = KEY_CATEGORY
    epoch_start: int = 0
    epoch_start_nanos: int = 0
    epoch_end: int | None = None
    epoch_end_nanos: int = 0
    limit_record_count: int = 0
    limit_from_start: bool = False
    columns: list[str] = []
    functions: list[str] = []
    is_sqlstatement: bool = False
    sql_statement: str = ""


class WriteRequest(msgspec.Struct):
    """One element of `DataService.Write`."""

    dataset: Any = None
    is_variable_length: bool = False


class CreateRequest(msgspec.Struct):
    """One element of `DataService.Create`; clients say the kind in two ways, the columns in two."""

    key: str = ""
    column_names: list[str] = []
    column_types: list[str] = []
    data_shapes: str = ""
    row_type: str | None = None
    is_variable_length: bool = False


class KeyRequest(msgspec.Struct):
    """One element of `DataService.Destroy` and `DataService.GetInfo`."""

    key: str = ""


class ListSymbolsParams(msgspec.Struct):
    """Parameters of `DataService.ListSymbols`."""

    format: str = ""
    timeframe: str = ""
    date: str = ""


@cache
def _names(kind: type[msgspec.Struct]) -> dict[str, str]:
    own = {plain_name(name): name for name in kind.__struct_fields__}
    return own | _JSON_ALIASES.get(kind.__name__, {})


def read_params(raw: object, kind: type[_P]) -> _P:
    """Parameters of that kind.

    Raises:
        MalformedBodyError: not a map, or a field of another type.
    """
    found = {name: value for name, value in fields(raw, _names(kind)).items() if value is not None}
    try:
        return msgspec.convert(found, whole(kind))
    except msgspec.ValidationError as error:
        raise MalformedBodyError(f"{kind.__name__}: {error}") from None


def read_requests(params: object, kind: type[_P], requests_max: int) -> list[_P]:
    """The `requests` of a call; none when the field is missing.

    Raises:
        MalformedBodyError: not a list of maps, or a field of another type.
        LimitExceededError: more than the setting allows.
    """
    requests = fields(params, {"requests": "requests"}).get("requests")
    if requests is None:
        return []
    if not isinstance(requests, list):
        raise MalformedBodyError(f"requests is a list, not {type(requests).__name__}")
    if len(requests) > requests_max:
        raise LimitExceededError(
            f"{len(requests)} requests in one call; at most {requests_max}, send several calls"
        )
    return [read_params(request, kind) for request in requests]


def dataset_of(request: WriteRequest) -> Dataset:
    """The dataset of a write; an empty one when there is none."""
    return Dataset() if request.dataset is None else read_params(request.dataset, Dataset)


def query_of(request: QueryRequest, tz: str) -> Query:
    """What a query asks of the store.

    Args:
        request: as it was sent.
        tz: zone whose midnights bound days, of a timeframe that has to be computed.

    Raises:
        InvalidArgumentError: a destination, timeframe or limit that cannot be right.
    """
    symbols, timeframe, group = _destination(request)
    try:
        Timeframe.parse(timeframe)
    except InvalidKeyError:
        meant = similar(timeframe)
        hint = f"; write {meant}" if meant else ""
        raise InvalidKeyError(
            f"timeframe not found in TimeBucketKey={symbols}/{timeframe}/{group}:{KEY_CATEGORY}: "
            f'timeframe not found in "{timeframe}"{hint}'
        ) from None
    if request.limit_record_count < 0:
        raise InvalidArgumentError(
            f"limit_record_count is {request.limit_record_count}; use 0 for no limit"
        )
    end = request.epoch_end
    return Query(
        symbols=tuple(dict.fromkeys(symbols.split(","))),
        timeframe=timeframe,
        attribute_group=group,
        start_ns=_instant(request.epoch_start, request.epoch_start_nanos),
        end_ns=MAX_NS if end is None else _instant(end, request.epoch_end_nanos),
        limit=request.limit_record_count,
        from_start=request.limit_from_start,
        columns=tuple(request.columns) or None,
        drop_unknown_columns=True,
        functions=tuple(request.functions),
        tz=tz,
    )


def _instant(seconds: int, nanos: int) -> int:
    return min(max(seconds * NS_PER_SECOND + nanos, MIN_NS), MAX_NS)


def _destination(request: QueryRequest) -> tuple[str, str, str]:
    """Symbols, timeframe and attribute group, whatever the order that the category says."""
    destination, category = request.destination, request.key_category or KEY_CATEGORY
    suffixed = _CATEGORY_SUFFIX.fullmatch(destination)
    if suffixed is not None:
        destination, category = suffixed.groups()
    names = category.split("/")
    if set(names) != _PARTS or len(names) != len(_PARTS):
        raise InvalidKeyError(
            f"destinations must have a Symbol, Timeframe and AttributeGroup, have: {category[:200]}"
        )
    values = destination.split("/")
    if len(values) != len(names):
        raise InvalidKeyError(
            "no results returned from query (no files returned from query parse): destination "
            f"{destination[:200]!r} has {len(values)} part(s); write AAPL,MSFT/1Min/OHLCV"
        )
    parts = dict(zip(names, values, strict=True))
    return parts["Symbol"], parts["Timeframe"], parts["AttributeGroup"]


def schema_of(request: CreateRequest) -> Schema:
    """The schema a bucket is created with.

    Raises:
        InvalidArgumentError: names, types or a kind that no bucket can have.
    """
    pairs = parse_shapes(request.data_shapes) if request.data_shapes else _paired(request)
    variable = _is_variable(request)
    hidden = {"Epoch", "Nanoseconds"} if variable else {"Epoch"}
    for name, text in pairs:
        try:
            parse_dtype(text)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"unexpected data type:{text[:40]} ({error})") from None
        if name == "Epoch" and parse_dtype(text).str != "<i8":
            raise InvalidArgumentError(
                f"unexpected data type for Epoch column: it is {text}; it is i8, seconds since 1970"
            )
    return Schema.of((pair for pair in pairs if pair[0] not in hidden), variable=variable)


def _paired(request: CreateRequest) -> list[tuple[str, str]]:
    names, types = request.column_names, request.column_types
    if len(names) != len(types):
        raise InvalidArgumentError(f"{len(names)} column names and {len(types)} column types")
    return list(zip(names, types, strict=True))


def _is_variable(request: CreateRequest) -> bool:
    if request.row_type is None:
        return request.is_variable_length
    if request.row_type not in ("fixed", "variable"):
        raise InvalidArgumentError(
            f'record type "{request.row_type[:40]}" must be one of fixed or variable'
        )
    return request.row_type == "variable"
