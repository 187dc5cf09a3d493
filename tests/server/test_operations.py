"""Operations through the server: the same results and errors as the embedded store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tsstore
from tsstore import Replace, Schema, Write, WriteTable
from tsstore.api import StoreApi
from tsstore.client import connect
from tsstore.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    InvalidKeyError,
    NotFoundError,
    SchemaMismatchError,
)
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub
from tsstore.tables import Table

T0 = 1_381_239_000
KEY = "AAPL/1Min/OHLCV"
NEW = "MSFT/1Min/OHLCV"


def bars(rows: int = 5, value: float = 0.0) -> dict[str, object]:
    return {"Epoch": np.arange(rows) * 60 + T0, "Close": np.arange(rows) + value}


def rows_of(store: StoreApi, key: str = KEY) -> list[tuple[float, ...]]:
    found = store.read(key)
    arrays = (array.tolist() for _, array in found.items())
    return list(zip(found.ts.tolist(), *arrays, strict=True))


def both(remote: StoreApi, store: StoreApi, method: str, *args: object) -> None:
    """The same call fails in the same way at both ends."""
    errors = []
    for one in (remote, store):
        with pytest.raises(tsstore.errors.TsStoreError) as caught:
            getattr(one, method)(*args)
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]


class TestBulk:
    def test_a_mapping_and_operations(self, remote, store) -> None:
        assert remote.bulk({KEY: bars(), NEW: bars(3)}) == 8
        assert remote.bulk([Write(KEY, bars(2, 10.0)), Replace(NEW, T0, T0 + 60, bars(1))]) == 3
        assert [value for _, value in rows_of(store)] == [10.0, 11.0, 2.0, 3.0, 4.0]
        assert len(rows_of(store, NEW)) == 2

    def test_rows_of_symbols_that_are_named_once(self, remote, store) -> None:
        rows = Table(np.arange(3) * 60 * 10**9, {"Close": np.arange(3.0)}, ["B", "A"])
        written = remote.bulk([WriteTable("1Min/X", replace(rows, codes=np.array([0, 1, 0])))])
        assert written == 3
        assert rows_of(store, "B/1Min/X") == [(0, 0.0), (120 * 10**9, 2.0)]
        assert rows_of(store, "A/1Min/X") == [(60 * 10**9, 1.0)]

    def test_many_rows_are_in_files_at_return(self, remote, store) -> None:
        before = store.stats()["memory_bytes"]
        remote.bulk({KEY: bars(20_000)})
        assert store.stats(KEY).segments >= 1
        assert store.stats()["memory_bytes"] == before

    def test_columns_that_do_not_fit(self, remote, store) -> None:
        remote.write(KEY, bars())
        with pytest.raises(SchemaMismatchError):
            remote.bulk({KEY: {"Epoch": [T0], "Close": ["text"]}})


class TestDelete:
    @pytest.mark.parametrize(
        ("start", "end", "left"),
        [(None, None, 0), (T0 + 60, None, 1), (None, T0 + 60, 3), (T0 + 60, T0 + 120, 3)],
    )
    def test_both_ends_are_included(self, remote, store, start, end, left) -> None:
        remote.write(KEY, bars())
        assert remote.delete(KEY, start, end) == 5 - left
        assert len(rows_of(store)) == left

    def test_the_bucket_must_be_there(self, remote, store) -> None:
        both(remote, store, "delete", KEY)


class TestNames:
    def test_a_renamed_bucket_has_the_rows(self, remote, store) -> None:
        remote.write(KEY, bars())
        remote.rename(KEY, NEW)
        assert store.list() == [NEW]
        assert len(rows_of(store, NEW)) == 5

    def test_a_copy_goes_its_own_way(self, remote, store) -> None:
        remote.write(KEY, bars())
        remote.copy(KEY, NEW)
        remote.write(KEY, bars(1, 50.0))
        assert rows_of(store, NEW)[0][1] == 0.0
        assert rows_of(store)[0][1] == 50.0

    @pytest.mark.parametrize("method", ["rename", "copy"])
    def test_errors(self, remote, store, method) -> None:
        both(remote, store, method, KEY, NEW)
        store.write(KEY, bars())
        store.write(NEW, bars())
        both(remote, store, method, KEY, NEW)
        both(remote, store, method, KEY, "AAPL/1D/OHLCV")
        both(remote, store, method, KEY, "nonsense")
        with pytest.raises(AlreadyExistsError):
            getattr(remote, method)(KEY, NEW)
        with pytest.raises(InvalidKeyError):
            getattr(remote, method)("nonsense", NEW)


class TestAlter:
    def test_older_rows_get_the_new_column(self, remote, store) -> None:
        remote.write(KEY, bars(2))
        remote.alter(KEY, Schema.of({"Close": "f8", "Volume": "i8"}))
        assert [row[2] for row in rows_of(store)] == [0, 0]

    def test_a_column_cannot_be_lost(self, remote, store) -> None:
        remote.write(KEY, bars(2))
        both(remote, store, "alter", KEY, Schema.of({"Volume": "i8"}))


class TestIterate:
    @pytest.mark.parametrize("rows", [1, 3, 7, 1000])
    @pytest.mark.parametrize("options", [{}, {"start": T0 + 60}, {"end": T0 + 130}, {"end": 0}])
    def test_pieces_of_bars_are_the_rows(self, remote, store, rows, options) -> None:
        remote.write(KEY, bars(10))
        for one in (remote, store):
            pieces = list(one.iterate(KEY, rows=rows, **options))
            found = [instant for piece in pieces for instant in piece.ts.tolist()]
            assert found == store.read(KEY, **options).ts.tolist()
            *full, last = map(len, pieces) if pieces else [0]
            assert set(full) <= {rows}
            assert last <= rows

    def test_pieces_have_the_rows_that_were_asked_for(self, remote, store) -> None:
        remote.write(KEY, bars(2000))
        ticks = {"Epoch": T0 + np.arange(2000), "Price": np.arange(2000.0)}
        remote.write("A/1Sec/TICK", ticks, variable=True)
        for one in (remote, store):
            for key in (KEY, "A/1Sec/TICK"):
                assert [len(piece) for piece in one.iterate(key, rows=900)] == [900, 900, 200]

    @pytest.mark.parametrize("rows", [1, 2, 4, 5, 100])
    def test_no_instant_is_cut_in_two(self, remote, store, rows) -> None:
        epochs = [T0, T0, T0, T0 + 1, T0 + 2, T0 + 2]
        data = {"Epoch": epochs, "Price": np.arange(6.0)}
        remote.write("A/1Sec/TICK", data, variable=True)
        for one in (remote, store):
            pieces = list(one.iterate("A/1Sec/TICK", rows=rows))
            assert np.concatenate([piece["Price"] for piece in pieces]).tolist() == list(range(6))
            instants = [instant for piece in pieces for instant in set(piece.ts.tolist())]
            assert len(instants) == len(set(instants)) == 3

    def test_columns_and_zone(self, remote) -> None:
        remote.write(KEY, {**bars(), "Open": np.zeros(5)})
        [piece] = remote.iterate(KEY, columns=["Open"], tz="America/New_York")
        assert (piece.names, piece.tz) == (("Open",), "America/New_York")

    def test_what_is_wrong_is_said_before_the_first_piece(self, remote, store) -> None:
        both(remote, store, "iterate", KEY)
        store.write(KEY, bars())
        with pytest.raises(NotFoundError):
            remote.iterate("AAPL/5Min/OHLCV")  # can be read, but is not stored
        for options in ({"columns": ["Nope"]}, {"rows": 0}, {"tz": "Nowhere"}, {"start": "soon"}):
            for one in (remote, store):
                with pytest.raises(InvalidArgumentError):
                    one.iterate(KEY, **options)


class TestFiles:
    def test_compaction(self, remote, store) -> None:
        for number in range(3):
            remote.write(KEY, bars(50, number))
            store.flush()
        before = rows_of(store)
        report = remote.compact("AAPL/*/*")
        assert report.segments_after < report.segments_before
        assert rows_of(store) == before
        both(remote, store, "compact", "no pattern")

    def test_stats(self, remote, store) -> None:
        remote.write(KEY, bars(10))
        store.flush()
        remote.write(KEY, bars(2))
        assert remote.stats(KEY) == store.stats(KEY)
        assert remote.stats() == store.stats()
        stats = remote.stats(KEY)
        assert (stats.rows, stats.memory_rows) == (12, 2)
        assert stats.encodings == {"Epoch": {"raw": 1}, "Close": {"raw": 1}}
        both(remote, store, "stats", "NOPE/1Min/OHLCV")

    def test_a_server_without_a_place_refuses_backups(self, remote) -> None:
        with pytest.raises(InvalidArgumentError, match="backup_directory"):
            remote.backup("nightly")


def test_backups_of_clients_stay_in_their_directory(tmp_path) -> None:
    settings = ServerSettings(port=0, backup_directory=str(tmp_path / "backups"))
    hub = StreamHub(queue_bytes_max=1 << 20)
    with tsstore.open(tmp_path / "data") as store:
        store.write(KEY, bars())
        app = create_app(store, settings, hub=hub, heartbeat=dict)
        with serve(app, settings) as server, connect(server.url) as remote:
            report = remote.backup("nightly")
            assert report.path == str(tmp_path / "backups" / "nightly")
            assert report.problems == ()
            for name in ("../out", "/tmp/out", "a/b", "", ".", "..", "x" * 200, "nightly\n"):
                with pytest.raises(InvalidArgumentError, match="no plain name"):
                    remote.backup(name)
        store.write(KEY, bars(1, 9.0))
    with tsstore.open(tmp_path / "backups" / "nightly", read_only=True) as backup:
        assert [value for _, value in rows_of(backup)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["nightly"]
