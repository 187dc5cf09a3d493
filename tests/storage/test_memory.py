"""Arrays that share memory do not share bytes."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import numpy as np
import pytest

from tsstore.storage.memory import Place, together

DTYPES = [np.dtype(name) for name in ("<i8", "|b1", "<U3", "<i2", "<f8")]


@pytest.mark.parametrize("rows", [0, 1, 5, 8])
def test_arrays_that_are_together_are_apart(rows: int) -> None:
    arrays = together(DTYPES, rows)
    for number, array in enumerate(arrays):
        array[:] = np.full(rows, number).astype(array.dtype)
    for number, (array, dtype) in enumerate(zip(arrays, DTYPES, strict=True)):
        assert array.dtype == dtype
        assert array.flags.aligned
        assert array.tolist() == np.full(rows, number).astype(dtype).tolist()


def test_nothing_together_is_nothing() -> None:
    assert together([], 5) == []


def test_a_place_grows_with_what_it_holds() -> None:
    place = Place()
    for dtype in DTYPES:
        array = place.array(dtype, 3)
        assert (array.shape, array.dtype) == ((3,), dtype)
        array[:] = np.arange(3).astype(dtype)
        assert array.tolist() == np.arange(3).astype(dtype).tolist()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep it anyway")
def test_memory_of_arrays_that_went_is_used_again() -> None:
    program = """
import resource
import numpy as np
from tsstore.storage.memory import keep_freed_memory

keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [np.ones(1 << 19, np.uint8) for _ in range(8)]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(printed) < (8 << 19) // resource.getpagesize() // 2
