"""Messages of gRPC, from and to the parameters and results of DataService.

proto3 cannot say that a number is absent: an `epoch_end` of 0 is no end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import DecodeError, Message

from tsstore.server.grpc import marketstore_pb2 as pb
from tsstore.server.grpc.fields import Buffer, Lifted, MalformedMessageError, delimited

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_M = TypeVar("_M", bound=Message)


@dataclass(frozen=True)
class Form:
    """The messages of one method.

    Attributes:
        read: a request's bytes to the parameters of DataService. Raises MalformedMessageError, or
            LimitExceededError for more fields than a request may have.
        write: its result to an answer's bytes.
    """

    read: Callable[[bytes], dict[str, Any]]
    write: Callable[[Mapping[str, Any]], bytes]


def _parsed(kind: type[_M], body: bytes) -> _M:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise MalformedMessageError(str(error)) from None


def _read_query(body: bytes) -> dict[str, Any]:
    message = _parsed(pb.MultiQueryRequest, Lifted(body, (1,)).body)
    return {"requests": [_query(one) for one in message.requests]}


def _query(one: pb.QueryRequest) -> dict[str, Any]:
    return {
        "destination": one.destination,
        "key_category": one.key_category or None,
        "epoch_start": one.epoch_start,
        "epoch_start_nanos": one.epoch_start_nanos,
        "epoch_end": one.epoch_end or None,
        "epoch_end_nanos": one.epoch_end_nanos,
        "limit_record_count": one.limit_record_count,
        "limit_from_start": one.limit_from_start,
        "columns": list(one.columns),
        "functions": list(one.functions),
        "is_sqlstatement": one.is_sql_statement,
        "sql_statement": one.sql_statement,
    }


def _write_query(result: Mapping[str, Any]) -> bytes:
    parts = list[Buffer]()
    for response in result["responses"] or ():
        parts += delimited(1, delimited(1, _dataset(response["result"])))
    rest = pb.MultiQueryResponse(version=result["version"], timezone=result["timezone"])
    return b"".join([*parts, rest.SerializeToString()])


def _dataset(dataset: Mapping[str, Any]) -> list[Buffer]:
    """A NumpyMultiDataset around columns that are not copied."""
    head = pb.NumpyDataset(column_types=dataset["types"], column_names=dataset["names"])
    parts: list[Buffer] = [head.SerializeToString()]
    for column in dataset["data"]:
        parts += delimited(3, [column.view])
    parts.append(pb.NumpyDataset(length=dataset["length"].value).SerializeToString())
    keys = pb.NumpyMultiDataset(
        start_index={key: row.value for key, row in dataset["startindex"].items()},
        lengths={key: rows.value for key, rows in dataset["lengths"].items()},
    )
    return [*delimited(1, parts), keys.SerializeToString()]


def _read_write(body: bytes) -> dict[str, Any]:
    lifted = Lifted(body, (1, 1, 1), column=3)
    message = _parsed(pb.MultiWriteRequest, lifted.body)
    return {
        "requests": [
            {
                "dataset": _rows(one.data, lifted.columns),
                "is_variable_length": one.is_variable_length,
            }
            for one in message.requests
        ]
    }


def _rows(data: pb.NumpyMultiDataset, columns: list[memoryview]) -> dict[str, Any]:
    return {
        "types": list(data.data.column_types),
        "names": list(data.data.column_names),
        "data": [columns[int(number)] for number in data.data.column_data],
        "startindex": dict(data.start_index),
        "lengths": dict(data.lengths),
    }


def _read_create(body: bytes) -> dict[str, Any]:
    message = _parsed(pb.MultiCreateRequest, Lifted(body, (1,)).body)
    return {
        "requests": [
            {
                "key": one.key,
                "column_names": [shape.name for shape in one.data_shapes],
                "column_types": [shape.type for shape in one.data_shapes],
                "row_type": one.row_type,
            }
            for one in message.requests
        ]
    }


def _read_destroy(body: bytes) -> dict[str, Any]:
    message = _parsed(pb.MultiKeyRequest, Lifted(body, (1,)).body)
    return {"requests": [{"key": one.key} for one in message.requests]}


def _write_responses(result: Mapping[str, Any]) -> bytes:
    responses = [pb.ServerResponse(**one) for one in result["responses"] or ()]
    return pb.MultiServerResponse(responses=responses).SerializeToString()


def _read_list(body: bytes) -> dict[str, Any]:
    message = _parsed(pb.ListSymbolsRequest, body)
    keys = message.format == pb.ListSymbolsRequest.TIME_BUCKET_KEY
    return {
        "format": "tbk" if keys else "symbol",
        "timeframe": message.timeframe,
        "date": message.date,
    }


def _write_list(result: Mapping[str, Any]) -> bytes:
    return pb.ListSymbolsResponse(results=result["Results"]).SerializeToString()


def _read_version(body: bytes) -> dict[str, Any]:
    _parsed(pb.ServerVersionRequest, body)
    return {}


def _write_version(result: Mapping[str, Any]) -> bytes:
    return pb.ServerVersionResponse(version=result["version"]).SerializeToString()


#: By the name of the method.
FORMS = {
    "Query": Form(_read_query, _write_query),
    "Write": Form(_read_write, _write_responses),
    "Create": Form(_read_create, _write_responses),
    "Destroy": Form(_read_destroy, _write_responses),
    "ListSymbols": Form(_read_list, _write_list),
    "ServerVersion": Form(_read_version, _write_version),
}
