"""A call as bytes, the way clients of MarketStore send it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack

from benchmarks.serving.work import Query
from tsstore.server.grpc import marketstore_pb2 as pb

if TYPE_CHECKING:
    from benchmarks.serving.work import Call, Write

#: What `requests`, and so pymarketstore, sends with every call.
_HEAD = (
    "POST /rpc HTTP/1.1\r\nHost: {host}\r\nUser-Agent: python-requests/2.31.0\r\n"
    "Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n"
    "Content-Type: application/x-msgpack\r\nContent-Length: {size}\r\n\r\n"
)


class WrongAnswerError(Exception):
    """The server did not do what was asked."""


def http_request(call: Call, host: str) -> bytes:
    """The bytes on the socket."""
    body = http_body(call)
    return _HEAD.format(host=host, size=len(body)).encode() + body


def http_body(call: Call) -> bytes:
    """What is posted."""
    method, request = (
        ("Query", _query(call)) if isinstance(call, Query) else ("Write", _write(call))
    )
    body: bytes = msgpack.packb(
        {
            "method": f"DataService.{method}",
            "id": "1",
            "jsonrpc": "2.0",
            "params": {"requests": [request]},
        }
    )
    return body


def rows_in_http_answer(body: bytes) -> int:
    """How many rows a query was answered, or 0 for a write.

    Raises:
        WrongAnswerError: the call failed.
    """
    answer = msgpack.unpackb(body, strict_map_key=False)
    if "result" not in answer:
        raise WrongAnswerError(answer["error"]["message"])
    responses = answer["result"]["responses"]
    if responses is None:
        return 0
    if "result" not in responses[0]:
        raise WrongAnswerError(responses[0]["error"])
    return int(responses[0]["result"]["length"])


def grpc_request(call: Call) -> tuple[str, bytes]:
    """The path of the method, and the message."""
    if isinstance(call, Query):
        one = pb.QueryRequest(destination=call.destination, limit_record_count=call.limit)
        return "/proto.Marketstore/Query", pb.MultiQueryRequest(requests=[one]).SerializeToString()
    dataset = _write(call)["dataset"]
    rows = pb.NumpyMultiDataset(
        data=pb.NumpyDataset(
            column_types=dataset["types"],
            column_names=dataset["names"],
            column_data=dataset["data"],
            length=dataset["length"],
        ),
        start_index=dataset["startindex"],
        lengths=dataset["lengths"],
    )
    message = pb.MultiWriteRequest(requests=[pb.WriteRequest(data=rows)])
    return "/proto.Marketstore/Write", message.SerializeToString()


def rows_in_grpc_answer(call: Call, body: bytes) -> int:
    """The same for a message."""
    if isinstance(call, Query):
        answer = pb.MultiQueryResponse.FromString(body)
        return int(answer.responses[0].result.data.length)
    failures = pb.MultiServerResponse.FromString(body).responses
    if failures:
        raise WrongAnswerError(failures[0].error)
    return 0


def _query(call: Query) -> dict[str, Any]:
    query: dict[str, Any] = {"destination": call.destination}
    if call.limit:
        query["limit_record_count"] = call.limit
    return query


def _write(call: Write) -> dict[str, Any]:
    rows = len(call.columns["Epoch"])
    dataset = {
        "types": [array.dtype.str[1:] for array in call.columns.values()],
        "names": list(call.columns),
        "data": [array.tobytes() for array in call.columns.values()],
        "length": rows,
        "startindex": {call.key: 0},
        "lengths": {call.key: rows},
    }
    return {"dataset": dataset, "is_variable_length": False}
