"""MarketStore's client side, spelled out for each way to the server, so that they can be compared.

All three raise `CallError` with the text of a failed call, and answer in the same shapes.
"""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple, Protocol

import grpc
import httpx
import msgpack
import numpy as np

from tsstore.server.grpc import marketstore_pb2 as pb

SUFFIX = ":Symbol/Timeframe/AttributeGroup"
_ANSWERS = {
    "Query": pb.MultiQueryResponse,
    "Write": pb.MultiServerResponse,
    "Create": pb.MultiServerResponse,
    "Destroy": pb.MultiServerResponse,
    "ListSymbols": pb.ListSymbolsResponse,
}


class CallError(Exception):
    """A call failed as a whole."""


class Dataset(NamedTuple):
    """An answered dataset: what a client makes of it, and how it came."""

    columns: dict[str, list[Any]]
    types: list[str]
    keys: dict[str, tuple[int, int]]

    @property
    def bare_keys(self) -> list[str]:
        assert all(key.endswith(SUFFIX) for key in self.keys)
        return [key.removesuffix(SUFFIX) for key in self.keys]


class Carrier(Protocol):
    name: str

    def query(self, *requests: dict[str, Any]) -> list[Dataset]: ...
    def write(self, key: str, columns: dict[str, Any], **options: Any) -> list[str]: ...
    def create(self, key: str, columns: list[tuple[str, str]], row_type: str) -> str: ...
    def destroy(self, key: str) -> str: ...
    def listed(self, **filters: str) -> list[str]: ...


def _written(key: str, columns: dict[str, Any], types: list[str] | None) -> dict[str, Any]:
    arrays = [np.asarray(values) for values in columns.values()]
    return {
        "types": types or [array.dtype.str.lstrip("<|") for array in arrays],
        "names": list(columns),
        "data": [array.tobytes() for array in arrays],
        "length": len(arrays[0]),
        "startindex": {key: 0},
        "lengths": {key: len(arrays[0])},
    }


def _answered(
    types: list[str], names: list[str], data: list[bytes], length: int, spans: dict[str, Any]
) -> Dataset:
    pairs = zip(data, types, strict=True)
    columns = [np.frombuffer(column, kind).tolist() for column, kind in pairs]
    assert {len(column) for column in columns} == {length}
    assert len(set(names)) == len(names)
    return Dataset(dict(zip(names, columns, strict=True)), types, spans)


class Http:
    """/rpc in msgpack, and what both codecs share."""

    name = "msgpack"
    content_type = "application/x-msgpack"

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def encode(self, call: dict[str, Any]) -> bytes:
        return msgpack.packb(call)

    def decode(self, body: bytes) -> dict[str, Any]:
        return msgpack.unpackb(body, strict_map_key=False)

    def result(self, method: str, params: Any) -> dict[str, Any]:
        call = {
            "method": f"DataService.{method}", "id": "1", "jsonrpc": "2.0", "params": params,
        }  # fmt: skip
        headers = {"Content-Type": self.content_type}
        reply = self._client.post("/rpc", content=self.encode(call), headers=headers)
        answer = self.decode(reply.raise_for_status().content)
        if "error" in answer:
            raise CallError(answer["error"]["message"])
        return answer["result"]

    def query(self, *requests: dict[str, Any]) -> list[Dataset]:
        found = self.result("Query", {"requests": list(requests)})
        return [self._dataset(response["result"]) for response in found["responses"] or []]

    def _dataset(self, raw: dict[str, Any]) -> Dataset:
        spans = {key: (start, raw["lengths"][key]) for key, start in raw["startindex"].items()}
        return _answered(raw["types"], raw["names"], raw["data"], raw["length"], spans)

    def write(
        self,
        key: str,
        columns: dict[str, Any],
        *,
        variable: bool = False,
        types: list[str] | None = None,
    ) -> list[str]:
        dataset = _written(key, columns, types)
        params = {"requests": [{"dataset": dataset, "is_variable_length": variable}]}
        responses = self.result("Write", params)["responses"]
        return [response["error"] for response in responses or []]

    def create(self, key: str, columns: list[tuple[str, str]], row_type: str) -> str:
        names, types = zip(*columns, strict=True)
        request = {
            "key": key, "column_names": names, "column_types": types, "row_type": row_type,
        }  # fmt: skip
        return self.result("Create", {"requests": [request]})["responses"][0]["error"]

    def destroy(self, key: str) -> str:
        return self.result("Destroy", {"requests": [{"key": key}]})["responses"][0]["error"]

    def listed(self, **filters: str) -> list[str]:
        return self.result("ListSymbols", {"format": "tbk", **filters})["Results"]


class JsonHttp(Http):
    """/rpc in JSON, with the names that Go gives the fields."""

    name = "json"
    content_type = "application/json"

    def encode(self, call: dict[str, Any]) -> bytes:
        return json.dumps(call).encode()

    def decode(self, body: bytes) -> dict[str, Any]:
        return json.loads(body)

    def query(self, *requests: dict[str, Any]) -> list[Dataset]:
        named = [{_camel(name): value for name, value in one.items()} for one in requests]
        found = self.result("Query", {"Requests": named})
        return [self._dataset(response["Result"]) for response in found["Responses"] or []]

    def _dataset(self, raw: dict[str, Any]) -> Dataset:
        spans = {key: (start, raw["Lengths"][key]) for key, start in raw["StartIndex"].items()}
        data = [base64.b64decode(column) for column in raw["ColumnData"]]
        return _answered(raw["ColumnTypes"], raw["ColumnNames"], data, raw["Length"], spans)

    def write(
        self,
        key: str,
        columns: dict[str, Any],
        *,
        variable: bool = False,
        types: list[str] | None = None,
    ) -> list[str]:
        raw = _written(key, columns, types)
        data = {
            "ColumnTypes": raw["types"],
            "ColumnNames": raw["names"],
            "ColumnData": [base64.b64encode(column).decode() for column in raw["data"]],
            "Length": raw["length"],
            "StartIndex": raw["startindex"],
            "Lengths": raw["lengths"],
        }
        params = {"Requests": [{"Data": data, "IsVariableLength": variable}]}
        return [one["Error"] for one in self.result("Write", params)["Responses"] or []]

    def create(self, key: str, columns: list[tuple[str, str]], row_type: str) -> str:
        names, types = zip(*columns, strict=True)
        request = {"Key": key, "ColumnNames": names, "ColumnTypes": types, "RowType": row_type}
        return self.result("Create", {"Requests": [request]})["Responses"][0]["Error"]

    def destroy(self, key: str) -> str:
        return self.result("Destroy", {"Requests": [{"Key": key}]})["Responses"][0]["Error"]


def _camel(name: str) -> str:
    if "sql" in name:
        return {"is_sqlstatement": "IsSQLStatement", "sql_statement": "SQLStatement"}[name]
    return "".join(part.capitalize() for part in name.split("_"))


class Grpc:
    """`proto.Marketstore`."""

    name = "grpc"

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target)

    def _call(self, method: str, request: Any) -> Any:
        call = self.channel.unary_unary(f"/proto.Marketstore/{method}")
        try:
            return _ANSWERS[method].FromString(call(request.SerializeToString(), timeout=20))
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNKNOWN, error
            raise CallError(error.details()) from None

    def query(self, *requests: dict[str, Any]) -> list[Dataset]:
        renamed = [
            {"is_sql_statement" if name == "is_sqlstatement" else name: value
             for name, value in one.items()}
            for one in requests
        ]  # fmt: skip
        messages = [pb.QueryRequest(**one) for one in renamed]
        answer = self._call("Query", pb.MultiQueryRequest(requests=messages))
        return [self._dataset(response.result) for response in answer.responses]

    def _dataset(self, raw: pb.NumpyMultiDataset) -> Dataset:
        spans = {key: (raw.start_index[key], raw.lengths[key]) for key in sorted(raw.start_index)}
        data = raw.data
        return _answered(
            list(data.column_types),
            list(data.column_names),
            list(data.column_data),
            data.length,
            spans,
        )

    def write(
        self,
        key: str,
        columns: dict[str, Any],
        *,
        variable: bool = False,
        types: list[str] | None = None,
    ) -> list[str]:
        raw = _written(key, columns, types)
        data = pb.NumpyDataset(
            column_types=raw["types"],
            column_names=raw["names"],
            column_data=raw["data"],
            length=raw["length"],
        )
        rows = pb.NumpyMultiDataset(
            data=data, start_index=raw["startindex"], lengths=raw["lengths"]
        )
        request = pb.WriteRequest(data=rows, is_variable_length=variable)
        answer = self._call("Write", pb.MultiWriteRequest(requests=[request]))
        return [one.error for one in answer.responses]

    def create(self, key: str, columns: list[tuple[str, str]], row_type: str) -> str:
        shapes = [pb.DataShape(name=name, type=kind) for name, kind in columns]
        request = pb.CreateRequest(key=key, data_shapes=shapes, row_type=row_type)
        return self._call("Create", pb.MultiCreateRequest(requests=[request])).responses[0].error

    def destroy(self, key: str) -> str:
        request = pb.MultiKeyRequest(requests=[pb.KeyRequest(key=key)])
        return self._call("Destroy", request).responses[0].error

    def listed(self, **filters: str) -> list[str]:
        keys = pb.ListSymbolsRequest.TIME_BUCKET_KEY
        return list(
            self._call("ListSymbols", pb.ListSymbolsRequest(format=keys, **filters)).results
        )
