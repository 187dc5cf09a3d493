"""msgpack and JSON bodies."""

from __future__ import annotations

import resource
from base64 import b64encode
from contextlib import suppress

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.wire.codec import JSON, MSGPACK, Int64, MalformedBodyError, Octets, fields
from tsstore.wire.dataset import sendable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_encoded_is_decoded_again(value):
    assert MSGPACK.decode(MSGPACK.encode(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(body):
    for codec in (MSGPACK, JSON):
        with suppress(MalformedBodyError):
            codec.decode(body)


@given(st.integers(-(2**63), 2**63 - 1))
def test_int64_takes_nine_bytes_whatever_its_value(value):
    body = MSGPACK.encode(Int64(value))
    assert (body[0], len(body)) == (0xD3, 9)
    assert msgpack.unpackb(body) == value
    assert JSON.encode(Int64(value)) == str(value).encode()


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "?"])
def test_numpy_scalars_keep_their_type(kind):
    value = np.array([1], kind)[0]
    body = MSGPACK.encode(value)
    assert msgpack.unpackb(body) == 1
    assert len(body) == (1 if kind == "?" else 1 + value.itemsize)
    assert JSON.decode(JSON.encode(value)) == 1


@pytest.mark.parametrize("codec", [MSGPACK, JSON])
def test_what_has_no_form_is_a_programming_error(codec):
    with pytest.raises(TypeError):
        codec.encode(object())


@pytest.mark.parametrize("column", [b"\x00\x00\x20\x41", b"\x80\x46\xff\xfe", b"abcd", b""])
def test_columns_that_old_clients_send_as_text_are_bytes(column):
    sent = {"dataset": {"names": ["Ask"], "data": [column, column]}}
    old = msgpack.packb(sent, use_bin_type=False)
    assert MSGPACK.decode(old) == sent


def test_other_text_is_text():
    bad = msgpack.packb({"key": b"\xff", "data": [b"\xff"]}, use_bin_type=False)
    with pytest.raises(MalformedBodyError, match="utf-8"):
        MSGPACK.decode(bad)
    assert MSGPACK.decode(msgpack.packb({"data": "a"})) == {"data": "a"}


def test_fields_are_found_in_every_spelling():
    raw = {b"epoch_start": 1, "EpochEnd": 2, "other": 3, 4: 5}
    names = {"epochstart": "start", "epochend": "end"}
    assert fields(raw, names) == {"start": 1, "end": 2}


@pytest.mark.parametrize("raw", [None, 5, [], "x"])
def test_fields_of_what_is_no_map_are_refused(raw):
    with pytest.raises(MalformedBodyError):
        fields(raw, {})


@pytest.mark.parametrize(
    "body",
    [
        b"\x93" + (b"\xdd\x00\x0f\x42\x40" + b"\x90" * 1_000_000) * 3,
        b"\x93" + (b"\xdd\x00\x0f\x42\x40" + b"\x00" * 1_000_000) * 3,
        b"\xdd\x00\x0f\x42\x40" + b"\x81\xa1a\x80" * 1_000_000,
    ],
    ids=["lists", "numbers", "maps"],
)
def test_lists_of_many_lists_are_refused_before_they_take_memory(body):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MalformedBodyError, match="items"):
        MSGPACK.decode(body)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


@pytest.mark.parametrize("item", [b"[],", b"{},", b"0,"])
def test_json_of_many_items_is_refused_before_it_is_read(item):
    with pytest.raises(MalformedBodyError, match="items"):
        JSON.decode(b"[" + item * 2_000_001 + b"0]")


def test_as_many_items_as_a_list_may_have_are_decoded():
    assert MSGPACK.decode(b"\xdd\x00\x0f\x42\x40" + b"\x05" * 1_000_000) == [5] * 1_000_000
    assert JSON.decode(b"[" + b"5," * 999_999 + b"5]") == [5] * 1_000_000


@given(st.lists(st.sampled_from([0, 1, 65_535, 65_536, 65_537, 200_000]), max_size=6), VALUES)
def test_a_body_in_parts_is_the_body(sizes, value):
    answer = {
        "data": [Octets(memoryview(bytes([size % 251]) * size)) for size in sizes],
        "x": value,
    }
    parts = MSGPACK.parts(answer)
    assert b"".join(parts) == MSGPACK.encode(answer)
    assert [part.nbytes for part in parts if isinstance(part, memoryview)] == [
        size for size in sizes if size >= 65_536
    ]
    assert MSGPACK.decode(b"".join(parts))["data"] == [bytes([size % 251]) * size for size in sizes]


def test_large_columns_are_not_copied():
    column = np.arange(10_000)
    parts = MSGPACK.parts([sendable(column)])
    assert [np.shares_memory(np.frombuffer(part, np.uint8), column) for part in parts] == [
        False,
        True,
    ]
    assert JSON.decode(b"".join(JSON.parts([sendable(column)])))[0] == b64encode(column).decode()
