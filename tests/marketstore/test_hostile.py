"""Whatever the bytes are, reading them ends: with rows, or with an error of ours."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsstore import marketstore
from tsstore.errors import TsStoreError

from .writer import HEADER, Directory, group, info

COLUMNS = {"Price": "f8", "Note": "U16", "Size": "i1"}
T0 = 1_381_239_000 * 10**9
ROWS = [(T0 + n * 86_400 * 10**9 // 2, (n / 2, f"n{n}", n)) for n in range(9)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A directory of days, fixed and variable, and a WAL; what its files hold."""
    there = Directory(tmp_path_factory.mktemp("hostile") / "m")
    there.write("A/1D/X", COLUMNS, ROWS[::2])
    there.write("A/1D/T", COLUMNS, ROWS, variable=True)
    there.wal(
        group(1, there.command("A/1D/X", COLUMNS, *ROWS[0], variable=False)),
        info(1, 1, 2),
        group(2, there.command("A/1D/T", COLUMNS, T0 + 5, (1.0, "x", 2), variable=True)),
    )
    return {path: path.read_bytes() for path in there.root.rglob("*.*") if path.is_file()}


def read_all(root) -> int:
    rows = 0
    for bucket in marketstore.read_directory(root):
        for year in bucket.years:
            rows += sum(map(len, year.batches()))
    return rows


def test_undamaged_it_is_read(written):
    (root,) = {path.parent for path in written if path.suffix == ".walfile"}
    assert read_all(root) == len(ROWS[::2]) + len(ROWS) + 1


@pytest.mark.parametrize("name", ["A/1D/X/2013.bin", "A/1D/T/2013.bin", "WALFile.1.walfile"])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damage_is_an_error_or_other_rows(written, name, data):
    path = next(path for path in written if str(path).endswith(name))
    octets = bytearray(written[path])
    used = [n for n in range(len(octets)) if octets[n]] + list(range(HEADER, HEADER + 200, 8))
    places = st.sampled_from([n for n in used if n < len(octets)])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(places)
        change = data.draw(st.binary(min_size=1, max_size=8))
        octets[place : place + len(change)] = change
    path.write_bytes(octets[: data.draw(st.sampled_from([len(octets), len(octets) - 5, 40_000]))])
    root = path.parents[0 if path.suffix == ".walfile" else 3]
    try:
        read_all(root)
    except TsStoreError as error:
        assert len(str(error).splitlines()) == 1
    finally:
        path.write_bytes(written[path])
