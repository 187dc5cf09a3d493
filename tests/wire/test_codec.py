"""msgpack and JSON bodies."""

from __future__ import annotations

from contextlib import suppress

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.wire.codec import JSON, MSGPACK, Int64, MalformedBodyError, fields

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


def test_fields_are_found_in_every_spelling():
    raw = {b"epoch_start": 1, "EpochEnd": 2, "other": 3, 4: 5}
    names = {"epochstart": "start", "epochend": "end"}
    assert fields(raw, names) == {"start": 1, "end": 2}


@pytest.mark.parametrize("raw", [None, 5, [], "x"])
def test_fields_of_what_is_no_map_are_refused(raw):
    with pytest.raises(MalformedBodyError):
        fields(raw, {})
