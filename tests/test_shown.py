"""Values in errors: as people write them, and numbers in the unit they seem to be in."""

from __future__ import annotations

import numpy as np
import pytest

import tsstore
from tsstore.errors import InvalidArgumentError
from tsstore.shown import shown
from tsstore.times import to_ns

KEY = "A/1Min/X"
T0 = 1_704_205_800  # 2024-01-02 14:30:00 UTC


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(1.0), "1.0"),
        (np.str_("x"), "'x'"),
        (np.bool_(True), "True"),
        (np.datetime64("2024-01-02T14:30", "ns"), "2024-01-02T14:30:00.000000000"),
        ([np.int64(1), "a"], "[1, 'a']"),
        ("x", "'x'"),
        (None, "None"),
    ],
)
def test_numpy_is_not_shown(value, text) -> None:
    assert shown(value) == text


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with tsstore.open(tmp_path_factory.mktemp("store")) as store:
        columns = {"N": np.array([1], "i4"), "Name": ["ab"]}
        store.write(KEY, {"Epoch": [T0], **columns})
        yield store


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.write(KEY, {"Epoch": [T0], "N": np.array([2.5]), "Name": ["a"]}),
        lambda store: store.write(KEY, {"Epoch": [T0], "N": np.array([2**40]), "Name": ["a"]}),
        lambda store: store.write(KEY, {"Epoch": [T0], "N": [1], "Name": np.array(["long"])}),
        lambda store: store.write(KEY, {"Epoch": [T0], "N": [np.complex128(1)], "Name": ["a"]}),
        lambda store: store.read(KEY, start=np.int64(T0 * 1000)),
        lambda store: store.read(KEY, start=np.bool_(True)),
        lambda store: store.read(KEY, limit=np.float64(1.0)),
        lambda store: store.read(KEY, tz=np.str_("Mars")),
        lambda store: store.read(KEY, columns=[np.int64(1)]),
        lambda store: store.read(np.str_("A")),
        lambda store: store.list(np.str_("A")),
        lambda store: store.asof(KEY, KEY, tolerance=np.float64(-1.0)),
        lambda store: tsstore.Settings(files_max=np.int64(0)),
        lambda store: tsstore.connect("http://127.0.0.1:1", timeout_s=np.float64(-1)),
    ],
)
def test_errors_show_values_and_not_how_numpy_holds_them(store, call) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        call(store)
    assert "np." not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (T0 * 1_000, "as milliseconds it would be 2024-01-02 14:30:00Z: divide it by 1000"),
        (float(T0) * 1_000, "as milliseconds it would be 2024-01-02 14:30:00Z"),
        (np.int64(T0 * 10**6), "as microseconds it would be 2024-01-02 14:30:00Z"),
        (T0 * 10**9, "as nanoseconds it would be 2024-01-02 14:30:00Z: divide it by 1000000000"),
    ],
)
def test_an_instant_in_a_finer_unit_is_recognised(value, advice) -> None:
    with pytest.raises(InvalidArgumentError, match="as seconds since 1970; ") as caught:
        to_ns(value)
    assert advice in str(caught.value)


def test_a_number_that_is_no_instant_in_any_unit_is_just_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"1678 to 2261$"):
        to_ns(10**30)
