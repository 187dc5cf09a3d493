"""Directories that earlier code wrote stay readable, row for row."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import tsstore
from tests.golden.make_golden import WRITERS
from tsstore.format import constants
from tsstore.format.constants import FORMAT_VERSION
from tsstore.testing.model import ModelStore

VERSIONS = sorted(path for path in Path(__file__).parent.glob("v*") if path.is_dir())


class _Flushing(ModelStore):
    """The model, which has nothing to flush or to compact."""

    def flush(self) -> None:
        """Nothing."""

    def compact(self, _pattern: str = "*/*/*") -> None:
        """Nothing."""


def shape(store: tsstore.StoreApi) -> dict[str, object]:
    return {
        key: (
            rows.ts.tolist(),
            {name: (array.dtype.str, array.tobytes()) for name, array in rows.items()},
            store.info(key).schema.synthetic,
        )
        for key in store.list()
        for rows in [store.read(key)]
    }


def expected_of(version: str) -> dict[str, object]:
    # Version 1 did not say whose midnights its days begin at, which means UTC.
    model = _Flushing("UTC" if version == "v1" else "America/New_York")
    WRITERS[version](model)  # type: ignore[arg-type]
    return shape(model)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_a_golden_directory_is_read_as_it_was_written(version: Path, tmp_path: Path) -> None:
    expected = expected_of(version.name)
    copy = shutil.copytree(version, tmp_path / "copy")
    with tsstore.open(copy, read_only=True) as store:
        assert store.check().ok
        assert shape(store) == expected
    with tsstore.open(copy) as store:
        store.write("new/1Min/OHLCV", {"Epoch": [0], "Close": [1.0]})
        store.flush()
        store.destroy("new/1Min/OHLCV")
        assert shape(store) == expected
        store.compact()
        assert shape(store) == expected
        assert store.check(deep=True).ok


def test_there_is_a_golden_directory_of_the_current_version() -> None:
    assert f"v{FORMAT_VERSION}" in [path.name for path in VERSIONS]


def test_the_newest_golden_directory_has_every_encoding() -> None:
    found = set[int]()
    with tsstore.open(VERSIONS[-1], read_only=True) as store:
        segments = store.engine.current().view.segments
        for row in range(len(segments.names)):
            reader = segments.reader(row)
            found |= set(np.unique(reader.footer.encodings).tolist())
    known = {number for name, number in vars(constants).items() if name.startswith("ENCODING_")}
    assert found == known


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    copy = shutil.copytree(VERSIONS[-1], tmp_path / "copy")
    manifest = next(copy.glob("MANIFEST-*"))
    data = bytearray(manifest.read_bytes())
    data[6] = 99
    data[56:64] = _checksum(bytes(data[:56]))
    manifest.write_bytes(data)
    for read_only in (True, False):
        with pytest.raises(tsstore.FormatVersionError, match=r"version 99.*up to 3"):
            tsstore.open(copy, read_only=read_only)
    assert manifest.read_bytes() == data


def _checksum(data: bytes) -> bytes:
    import xxhash

    return xxhash.xxh3_64_intdigest(data).to_bytes(8, "little")
