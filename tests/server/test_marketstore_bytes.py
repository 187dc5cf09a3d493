"""Bytes captured between pymarketstore and MarketStore, with our version in the answers."""

from __future__ import annotations

import msgpack

import tsstore

WRITE = bytes.fromhex(
    "84a66d6574686f64b144617461536572766963652e5772697465a26964a131a76a736f6e727063a3322e30"
    "a6706172616d7381a872657175657374739182a76461746173657486a5747970657392a26938a26634"
    "a56e616d657392a545706f6368a341736ba46461746192c4088046685800000000c40400002041"
    "a66c656e67746801aa7374617274696e64657881ae544553542f314d696e2f5469636b00"
    "a76c656e6774687381ae544553542f314d696e2f5469636b01b269735f7661726961626c655f6c656e677468c2"
)
WRITTEN = bytes.fromhex(
    "83a76a736f6e727063a3322e30a6726573756c7481a9726573706f6e736573c0a26964a131"
)
QUERY = bytes.fromhex(
    "84a66d6574686f64b144617461536572766963652e5175657279a26964a131a76a736f6e727063a3322e30"
    "a6706172616d7381a872657175657374739181ab64657374696e6174696f6eae544553542f314d696e2f5469636b"
)
QUERIED = (
    "83a76a736f6e727063a3322e30a6726573756c7483a9726573706f6e7365739181a6726573756c7486"
    "a5747970657392a26938a26634a56e616d657392a545706f6368a341736b"
    "a46461746192c4088046685800000000c40400002041a66c656e677468d30000000000000001"
    "aa7374617274696e64657881d92e544553542f314d696e2f5469636b3a53796d626f6c2f54696d656672616d652f"
    "41747472696275746547726f7570d30000000000000000a76c656e6774687381d92e544553542f314d696e2f54"
    "69636b3a53796d626f6c2f54696d656672616d652f41747472696275746547726f7570d30000000000000001"
    "a776657273696f6e{version}a874696d657a6f6e65a3555443a26964a131"
)
LIST = bytes.fromhex(
    "84a66d6574686f64b744617461536572766963652e4c69737453796d626f6c73a26964a131"
    "a76a736f6e727063a3322e30a6706172616d7381a6666f726d6174a374626b"
)
CREATE = bytes.fromhex(
    "84a66d6574686f64b244617461536572766963652e437265617465a26964a131a76a736f6e727063a3322e30"
    "a6706172616d7381a872657175657374739184a36b6579d92e4352382f314d696e2f4f484c43563a53796d626f6c"
    "2f54696d656672616d652f41747472696275746547726f7570ac636f6c756d6e5f6e616d657392a545706f6368"
    "a44f70656eac636f6c756d6e5f747970657392a26938a26634a8726f775f74797065a56669786564"
)
DONE = (
    "83a76a736f6e727063a3322e30a6726573756c7481a9726573706f6e7365739182a56572726f72a0"
    "a776657273696f6e{version}a26964a131"
)
DESTROY = bytes.fromhex(
    "84a66d6574686f64b344617461536572766963652e44657374726f79a26964a131a76a736f6e727063a3322e30"
    "a6706172616d7381a872657175657374739181a36b6579ae4352382f314d696e2f4f484c4356"
)
ERROR_HEAD = bytes.fromhex(
    "83a76a736f6e727063a3322e30a56572726f7283a4636f6465d3ffffffffffff8300a76d657373616765d9"
)
ERROR_TAIL = bytes.fromhex("a464617461c0a26964a131")


def with_version(template: str) -> bytes:
    return bytes.fromhex(template.format(version=msgpack.packb(tsstore.__version__).hex()))


def test_a_written_row_is_acknowledged_with_nil(rpc):
    assert rpc.raw(WRITE) == WRITTEN


def test_a_row_of_an_old_client_is_the_same(rpc):
    """Before msgpack had a type for bytes, they went as text."""
    old = WRITE.replace(b"\xc4\x08", b"\xa8").replace(b"\xc4\x04", b"\xa4")
    assert rpc.raw(old) == WRITTEN
    assert rpc.raw(QUERY) == with_version(QUERIED)


def test_a_row_comes_back_as_the_same_bytes(rpc):
    rpc.raw(WRITE)
    assert rpc.raw(QUERY) == with_version(QUERIED)


def test_an_unknown_bucket_is_an_error_of_the_call(rpc):
    answer = rpc.raw(QUERY.replace(b"TEST", b"NOPE"))
    text = answer[len(ERROR_HEAD) + 1 : -len(ERROR_TAIL)]
    assert answer == ERROR_HEAD + bytes([len(text)]) + text + ERROR_TAIL
    assert b"no results returned from query: Target: NOPE/1Min/Tick" in text
    assert b"no files returned from query parse" in text


def test_keys_are_listed_under_capital_results(rpc):
    rpc.raw(WRITE)
    head = bytes.fromhex("83a76a736f6e727063a3322e30a6726573756c7481a7526573756c747391")
    tail = bytes.fromhex("ae544553542f314d696e2f5469636ba26964a131")
    assert rpc.raw(LIST) == head + tail


def test_create_and_destroy_answer_with_an_empty_error(rpc):
    assert rpc.raw(CREATE) == with_version(DONE)
    assert rpc.raw(DESTROY) == with_version(DONE)
