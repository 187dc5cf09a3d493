"""Bytes captured between pymarketstore and MarketStore over gRPC, with our version in answers."""

from __future__ import annotations

import grpc

import tsstore

VERSION = tsstore.__version__.encode()
WRITE = bytes.fromhex(
    "0a520a500a260a0269380a026634120545706f6368120341736b1a0880466858000000001a0400002041"
    "200112120a0e544553542f314d696e2f5469636b10001a120a0e544553542f314d696e2f5469636b1001"
)
QUERY = bytes.fromhex("0a101a0e544553542f314d696e2f5469636b")
QUERIED = bytes.fromhex(
    "0a93010a90010a260a0269380a026634120545706f6368120341736b1a0880466858000000001a0400002041"
    "200112320a2e544553542f314d696e2f5469636b3a53796d626f6c2f54696d656672616d652f41747472696275"
    "746547726f757010001a320a2e544553542f314d696e2f5469636b3a53796d626f6c2f54696d656672616d652f"
    "41747472696275746547726f75701001"
)
#: The same with an end, the largest int64, and a limit of 1000, as the Rust client sends them.
RUST_QUERY = bytes.fromhex("0a1d1a0e544553542f314d696e2f5469636b38ffffffffffffffff7f48e807")
ZONE = bytes.fromhex("1a03555443")


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def test_a_written_row_is_acknowledged_with_an_empty_message(client) -> None:
    assert client.raw("Write", WRITE) == b""


def test_a_map_without_its_zero_is_the_same(client) -> None:
    entry = bytes.fromhex("12120a0e544553542f314d696e2f5469636b1000")
    shorter = bytes.fromhex("12100a0e544553542f314d696e2f5469636b")
    lengths = {0x52: 0x50, 0x50: 0x4E}  # of the two messages around it
    outer = bytes(lengths.get(byte, byte) for byte in WRITE[:4])
    assert client.raw("Write", outer + WRITE[4:].replace(entry, shorter)) == b""
    assert client.raw("Query", QUERY).startswith(QUERIED)


def test_a_row_comes_back_as_the_same_bytes(client) -> None:
    client.raw("Write", WRITE)
    assert client.raw("Query", QUERY) == QUERIED + field(2, VERSION) + ZONE


def test_the_rust_client_gets_the_same_bytes(client) -> None:
    client.raw("Write", WRITE)
    assert client.raw("Query", RUST_QUERY) == QUERIED + field(2, VERSION) + ZONE


def test_an_unknown_bucket_is_an_error_with_the_texts_that_clients_look_for(client) -> None:
    status, text = client.failure("Query", QUERY.replace(b"TEST", b"NOPE"))
    assert status is grpc.StatusCode.UNKNOWN
    assert "no results returned from query: Target: NOPE/1Min/Tick" in text
    assert "no files returned from query parse" in text


def test_keys_are_listed(client) -> None:
    client.raw("Write", WRITE)
    assert client.raw("ListSymbols", b"\x08\x01") == field(1, b"TEST/1Min/Tick")
    assert client.raw("ListSymbols", b"") == field(1, b"TEST")


def test_a_bucket_that_is_destroyed_answers_with_the_version_alone(client) -> None:
    client.raw("Write", WRITE)
    assert client.raw("Destroy", QUERY.replace(b"\x1a", b"\x0a")) == field(1, field(2, VERSION))
    assert client.raw("ListSymbols", b"") == b""


def test_the_version_is_told(client) -> None:
    assert client.raw("ServerVersion", b"") == field(1, VERSION)
