"""The messages: field by field what MarketStore's clients have compiled in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from tsstore.server.grpc import marketstore_pb2 as pb

ROOT = Path(__file__).parents[2]
FOLDER = "tsstore/server/grpc"
FIELDS = {
    "DataShape": {1: "name string", 2: "type string"},
    "NumpyDataset": {
        1: "column_types [string]",
        2: "column_names [string]",
        3: "column_data [bytes]",
        4: "length int32",
        5: "data_shapes [DataShape]",
    },
    "NumpyMultiDataset": {
        1: "data NumpyDataset",
        2: "start_index [StartIndexEntry]",
        3: "lengths [LengthsEntry]",
    },
    "QueryRequest": {
        1: "is_sql_statement bool",
        2: "sql_statement string",
        3: "destination string",
        4: "key_category string",
        5: "epoch_start int64",
        6: "epoch_start_nanos int64",
        7: "epoch_end int64",
        8: "epoch_end_nanos int64",
        9: "limit_record_count int32",
        10: "limit_from_start bool",
        11: "columns [string]",
        12: "functions [string]",
    },
    "MultiQueryRequest": {1: "requests [QueryRequest]"},
    "QueryResponse": {1: "result NumpyMultiDataset"},
    "MultiQueryResponse": {
        1: "responses [QueryResponse]",
        2: "version string",
        3: "timezone string",
    },
    "WriteRequest": {1: "data NumpyMultiDataset", 2: "is_variable_length bool"},
    "MultiWriteRequest": {1: "requests [WriteRequest]"},
    "CreateRequest": {1: "key string", 2: "data_shapes [DataShape]", 3: "row_type string"},
    "MultiCreateRequest": {1: "requests [CreateRequest]"},
    "KeyRequest": {1: "key string"},
    "MultiKeyRequest": {1: "requests [KeyRequest]"},
    "ServerResponse": {1: "error string", 2: "version string"},
    "MultiServerResponse": {1: "responses [ServerResponse]"},
    "ListSymbolsRequest": {1: "format Format", 2: "timeframe string", 3: "date string"},
    "ListSymbolsResponse": {1: "results [string]"},
    "ServerVersionRequest": {},
    "ServerVersionResponse": {1: "version string"},
}
_SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
}


def described(field: FieldDescriptor) -> str:
    kind = field.message_type or field.enum_type
    name = _SCALARS[field.type] if kind is None else kind.name
    return f"{field.name} [{name}]" if field.is_repeated else f"{field.name} {name}"


def test_there_are_these_messages_and_no_others() -> None:
    assert set(pb.DESCRIPTOR.message_types_by_name) == set(FIELDS)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_fields_have_the_numbers_and_types_that_clients_know(name: str) -> None:
    message = pb.DESCRIPTOR.message_types_by_name[name]
    assert {field.number: described(field) for field in message.fields} == FIELDS[name]


def test_formats_of_lists_have_the_numbers_that_clients_know() -> None:
    assert dict(pb.ListSymbolsRequest.Format.items()) == {"SYMBOL": 0, "TIME_BUCKET_KEY": 1}


def test_the_package_is_not_the_one_that_clients_bring_along() -> None:
    assert pb.DESCRIPTOR.package == "tsstore.server.grpc"


def test_the_module_is_what_the_compiler_makes_of_the_proto_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I."]
    command += [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"{FOLDER}/marketstore.proto"]
    subprocess.run(command, cwd=ROOT, check=True)
    for name in ("marketstore_pb2.py", "marketstore_pb2.pyi"):
        assert (tmp_path / FOLDER / name).read_text() == (ROOT / FOLDER / name).read_text()
