"""Made-up rows and real ones never come into one bucket, and each says which it is."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

import tsstore
from tsstore import Replace, Schema, SchemaMismatchError, Write, WriteTable
from tsstore.cli.main import main
from tsstore.format import record
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub
from tsstore.testing.model import ModelStore

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL = Schema.of({"Close": "f8"})
MADE_UP = replace(REAL, synthetic=True)
FAKE, TRUE = "FAKE/1Min/OHLCV", "TRUE/1Min/OHLCV"
ROWS = {"Epoch": [60, 120], "Close": [1.0, 2.0]}
TABLE = {"Symbol": ["FAKE", "TRUE"], "Epoch": [60, 60], "Close": [3.0, 4.0]}


@pytest.fixture(params=["embedded", "remote", "model"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tsstore.StoreApi]:
    """A store with a bucket of made-up rows and one of real ones."""
    if request.param == "model":
        model = ModelStore("UTC")
        yield filled(model)
        return
    with tsstore.open(tmp_path / "data") as embedded:
        if request.param == "embedded":
            yield filled(embedded)
            return
        settings = ServerSettings(port=0)
        hub = StreamHub(queue_bytes_max=1 << 20)
        app = create_app(embedded, settings, hub=hub, heartbeat=dict)
        with serve(app, settings) as server, tsstore.connect(server.url) as remote:
            yield filled(remote)


def filled(store: tsstore.StoreApi) -> tsstore.StoreApi:
    store.commit([Write(FAKE, ROWS, MADE_UP), Write(TRUE, ROWS, REAL)])
    return store


def marks(store: tsstore.StoreApi) -> dict[str, bool]:
    return {key: store.info(key).schema.synthetic for key in store.list()}


AT = np.datetime64(60, "s"), np.datetime64(120, "s")
REFUSED = {
    "no schema": [Write(FAKE, ROWS)],
    "real": [Write(FAKE, ROWS, REAL)],
    "made up": [Write(TRUE, ROWS, MADE_UP)],
    "replaced": [Replace(FAKE, *AT, ROWS)],
    "replaced by made up": [Replace(TRUE, *AT, ROWS, MADE_UP)],
    "replaced by nothing made up": [Replace(TRUE, *AT, {"Epoch": [], "Close": []}, MADE_UP)],
    "table": [WriteTable("1Min/OHLCV", TABLE)],
    "made-up table": [WriteTable("1Min/OHLCV", TABLE, MADE_UP)],
    "after a good one": [Write(TRUE, {"Epoch": [600], "Close": [9.0]}), Write(FAKE, ROWS)],
    "both of a new bucket": [Write("NEW/1Min/OHLCV", ROWS, MADE_UP), Write("NEW/1Min/OHLCV", ROWS)],
}


def test_rows_of_the_other_kind_are_refused_and_nothing_is_written(store):
    for operations in REFUSED.values():
        with pytest.raises(SchemaMismatchError, match=r"holds (real|synthetic) rows"):
            store.commit(operations)
        if not isinstance(store, ModelStore):
            with pytest.raises(SchemaMismatchError, match=r"holds (real|synthetic) rows"):
                store.bulk(operations)
    assert marks(store) == {FAKE: True, TRUE: False}
    assert [len(store.read(key)) for key in (FAKE, TRUE)] == [2, 2]


def test_rows_of_the_same_kind_are_taken_and_any_are_deleted(store):
    store.commit([Write(FAKE, {"Epoch": [180], "Close": [3.0]}, MADE_UP)])
    made_up = {"Symbol": ["FAKE", "MORE"], "Epoch": [240, 240], "Close": [4.0, 4.0]}
    store.commit([WriteTable("1Min/OHLCV", made_up, MADE_UP), Write(TRUE, ROWS)])
    store.commit([Replace(FAKE, *AT, {"Epoch": [], "Close": []})])
    assert store.read(FAKE)["Close"].tolist() == [3.0, 4.0]
    assert marks(store) == {FAKE: True, TRUE: False, "MORE/1Min/OHLCV": True}


def test_a_bucket_keeps_its_mark(store):
    store.rename(FAKE, "NAMED/1Min/OHLCV")
    store.copy("NAMED/1Min/OHLCV", FAKE)
    wider = {"Close": "f8", "Volume": "f8"}
    store.alter(FAKE, Schema.of(wider, synthetic=True))
    assert marks(store) == {FAKE: True, TRUE: False, "NAMED/1Min/OHLCV": True}
    for key, is_synthetic in ((FAKE, False), (TRUE, True)):
        with pytest.raises(SchemaMismatchError, match="whether it is synthetic stay"):
            store.alter(key, Schema.of({**wider, "VWAP": "f8"}, synthetic=is_synthetic))
    store.destroy(FAKE)
    store.write(FAKE, ROWS)
    assert not marks(store)[FAKE]


def test_the_mark_outlives_everything_that_happens_to_files(tmp_path):
    expected = {FAKE: True, TRUE: False}
    path, backup = tmp_path / "data", tmp_path / "backup"
    with tsstore.open(path) as store:
        filled(store)
        with tsstore.open(path, read_only=True) as follower:
            assert marks(follower) == expected  # from the log
        store.flush()
        store.commit([Write(FAKE, {"Epoch": [600], "Close": [9.0]}, MADE_UP)])
        store.flush()
        store.compact()
        store.backup(backup)
    for directory in (path, backup):
        with tsstore.open(directory) as store:
            assert marks(store) == expected
            assert store.read(FAKE)["Close"].tolist() == [1.0, 2.0, 9.0]
    next(path.glob("MANIFEST-*")).unlink()  # so that buckets are learned from segments
    done = CliRunner().invoke(main, ["repair", str(path)])
    assert done.exit_code == 0, done.output
    with tsstore.open(path) as store:
        assert marks(store) == expected


def test_stores_without_made_up_rows_are_written_as_before(tmp_path, monkeypatch):
    """An older tsstore reads them, and refuses the others instead of losing the mark."""
    with tsstore.open(tmp_path / "real") as store:
        store.write(TRUE, ROWS)
    with tsstore.open(tmp_path / "mixed") as store:
        filled(store)
    assert versions(tmp_path / "real") == {2}
    assert max(versions(tmp_path / "mixed")) == 3
    monkeypatch.setattr(record, "FORMAT_VERSION", 2)
    with tsstore.open(tmp_path / "real") as store:
        assert len(store.read(TRUE)) == 2
    with pytest.raises(tsstore.FormatVersionError, match="format version 3"):
        tsstore.open(tmp_path / "mixed")


def versions(directory: Path) -> set[int]:
    """Versions of the first record of each file."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != "LOCK"]
    return {struct.unpack_from("<H", path.read_bytes(), 6)[0] for path in files}


def test_people_see_it_and_files_cannot_mix_it(tmp_path):
    with tsstore.open(tmp_path / "data") as store:
        filled(store)
        assert str(store.info(FAKE).schema) == "synthetic fixed (Close f8)"
    where = ["--dir", str(tmp_path / "data")]
    listed = CliRunner().invoke(main, ["ls", "--format", "csv", *where]).stdout.splitlines()
    assert [line.split(",")[1] for line in listed[1:]] == ["synthetic fixed", "fixed"]
    session = CliRunner().invoke(
        main, ["connect", *where[:1], where[1]], input=f"\\getinfo {FAKE}\n"
    )
    assert "Synthetic" in session.output
    csv = tmp_path / "rows.csv"
    csv.write_text("Epoch,Close\n1970-01-01 00:05,5.0\n")
    done = CliRunner().invoke(main, ["load", str(csv), FAKE, *where])
    assert done.exit_code == 2
    assert "holds synthetic rows" in done.output
