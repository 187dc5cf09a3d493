"""Commands that change, copy and look into a store."""

from __future__ import annotations

import json
import re
import subprocess

import numpy as np
import pytest

import tsstore
from tests.cli.conftest import BARS, bars
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

MSFT = "MSFT/1Min/OHLCV"


def closes(data, key: str = BARS) -> list[float]:
    with tsstore.open(data, read_only=True) as store:
        return store.read(key)["Close"].tolist()


def damage(path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x41
    data[offset + 1] ^= 0x41
    path.write_bytes(bytes(data))


@pytest.fixture
def segment(data):
    """A segment file of the store in ./data."""
    with tsstore.open(data) as store:
        store.flush()
        store.write("BIG/1Min/OHLCV", bars(9000))
        store.flush()
    return max(data.rglob("*.seg"), key=lambda path: path.stat().st_size)


class TestStats:
    def test_of_the_store(self, data, run) -> None:
        result = run("stats", "--format", "json")
        values = {line["Name"]: line["Value"] for line in json.loads(result.output)}
        assert values["buckets"] == 2

    def test_of_a_bucket(self, segment, run) -> None:
        output = run("stats", "BIG/1Min/OHLCV").output
        assert "9000" in output
        assert "3 raw" in output

    def test_of_a_pattern(self, data, run) -> None:
        result = run("stats", "*/1Min/*", "--format", "csv")
        assert result.output.splitlines()[1].startswith("AAPL/1Min/OHLCV,3,")

    def test_bytes_a_row_are_none_while_rows_are_in_the_log_only(self, data, run) -> None:
        def bytes_per_row():
            [row] = json.loads(run("stats", "A*/1Min/*", "--format", "json").output)
            lines = json.loads(run("stats", BARS, "--format", "json").output)
            values = {line["Name"]: line["Value"] for line in lines}
            assert values["bytes_per_row"] == row["BytesPerRow"]
            return row["BytesPerRow"]

        assert bytes_per_row() is None
        with tsstore.open(data) as store:
            store.flush()
        assert bytes_per_row() > 0

    def test_of_nothing(self, data, run) -> None:
        assert run("stats", "X*/*/*").exit_code == 3
        assert run("stats", "X/1Min/OHLCV").exit_code == 3


class TestDelete:
    def test_a_range(self, data, run) -> None:
        result = run(
            "delete", BARS, "--start", "2024-01-02 14:31", "--end", "2024-01-02 14:31:30", "--yes"
        )
        assert result.output == f"deleted 1 rows of {BARS}\n"
        assert closes(data) == [0.0, 2.0]

    def test_it_asks(self, data, run) -> None:
        result = run("delete", BARS, "--end", "2025-01-01")
        assert result.exit_code == 1
        assert closes(data) == [0.0, 1.0, 2.0]

    def test_a_zone_counts(self, data, run) -> None:
        run("delete", BARS, "--end", "2024-01-02 09:30", "--tz", "America/New_York", "--yes")
        assert closes(data) == [1.0, 2.0]

    def test_a_whole_bucket_is_not_deleted_by_mistake(self, data, run) -> None:
        result = run("delete", BARS, "--yes")
        assert result.exit_code == 2
        assert "--start" in result.stderr

    @pytest.mark.parametrize(
        "span",
        [
            ["--start", "2024-01-03", "--end", "2024-01-02"],
            ["--start", "2", "--end", "1", "--tz", "America/New_York"],
        ],
    )
    def test_an_end_before_the_start(self, data, run, span) -> None:
        result = run("delete", BARS, *span, "--yes")
        assert result.exit_code == 2
        assert "is after --end" in result.stderr
        assert closes(data) == [0.0, 1.0, 2.0]

    def test_of_nothing(self, data, run) -> None:
        assert run("delete", "X/1Min/OHLCV", "--end", "2025-01-01", "--yes").exit_code == 3


class TestDestroy:
    def test_the_bucket_goes(self, data, run) -> None:
        assert run("destroy", BARS, "--yes").output == f"destroyed {BARS}\n"
        assert run("ls").output.split() == [MSFT]

    def test_it_asks(self, data, run) -> None:
        result = run("destroy", BARS)
        assert result.exit_code == 1
        assert f"Destroy {BARS} and its rows, up to 3?" in result.output
        assert closes(data) == [0.0, 1.0, 2.0]


class TestCreate:
    def test_bars(self, here, run) -> None:
        result = run("create", BARS, "Close:f8", "Note:U16")
        assert result.output == f"created {BARS}: fixed (Close f8, Note U16)\n"
        with tsstore.open(here / "data", read_only=True) as store:
            assert store.info(BARS).schema == tsstore.Schema.of({"Close": "f8", "Note": "U16"})

    def test_ticks(self, here, run) -> None:
        options = ("--variable", "--identity", "Seq,Exchange")
        columns = ("Price:f8", "Seq:i8", "Exchange:u1")
        assert run("create", "A/1Sec/TRADE", *columns, *options).exit_code == 0
        with tsstore.open(here / "data", read_only=True) as store:
            schema = store.info("A/1Sec/TRADE").schema
        assert schema.is_variable
        assert schema.identity == ("Seq", "Exchange")


def test_rename_and_copy(data, run) -> None:
    assert run("rename", BARS, "NEW/1Min/OHLCV").exit_code == 0
    assert run("copy", "NEW/1Min/OHLCV", "TWO/1Min/OHLCV").output.startswith("copied 3 rows")
    assert run("ls").output.split() == [MSFT, "NEW/1Min/OHLCV", "TWO/1Min/OHLCV"]
    assert run("rename", MSFT, "TWO/1Min/OHLCV").exit_code == 2


class TestRetention:
    def test_what_is_old_goes(self, data, run) -> None:
        now = np.datetime64("now", "s")
        with tsstore.open(data) as store:
            store.write(MSFT, {"Epoch": [now], "Close": [9.0], "Volume": [1]})
        dry = run("retention", "*/1Min/*", "--keep", "90D", "--dry-run")
        assert "would delete 6 rows" in dry.output
        assert closes(data) == [0.0, 1.0, 2.0]
        result = run("retention", "*/1Min/*", "--keep", "90D", "--yes")
        assert "deleted 6 rows" in result.output
        assert closes(data) == []
        assert closes(data, MSFT) == [9.0]

    def test_what_plugins_keep_stays_unless_it_is_meant(self, data, run) -> None:
        kept = "_worker/24H/GAPS"
        with tsstore.open(data) as store:
            store.write(kept, {"Epoch": [0], "State": [1]})
        run("retention", "*/*/*", "--keep", "90D", "--yes")
        assert closes(data) == []
        with tsstore.open(data, read_only=True) as store:
            assert len(store.read(kept)) == 1
        assert "deleted 1 rows" in run("retention", "_*/*/*", "--keep", "90D", "--yes").output

    def test_it_asks(self, data, run) -> None:
        result = run("retention", "*/*/*", "--keep", "90D")
        assert result.exit_code == 1
        assert "Delete 6 rows of 2 buckets from before " in result.output
        assert closes(data) == [0.0, 1.0, 2.0]

    def test_it_does_not_ask_where_nothing_is_old(self, data, run) -> None:
        assert "deleted 0 rows" in run("retention", "*/*/*", "--keep", "200Y").output

    @pytest.mark.parametrize("keep", ["90", "D", "0D", "-3D", "90 parsecs"])
    def test_a_length_that_is_none(self, data, run, keep: str) -> None:
        result = run("retention", "*/*/*", f"--keep={keep}")
        assert result.exit_code == 2
        assert "no length of time" in result.stderr

    @pytest.mark.parametrize("keep", ["999999999y", "999999999D", "500Y"])
    def test_a_length_beyond_all_times(self, data, run, keep: str) -> None:
        result = run("retention", "*/*/*", "--keep", keep)
        assert result.exit_code == 2
        assert "beyond 1678" in result.stderr
        assert closes(data) == [0.0, 1.0, 2.0]


def test_compact(segment, run, data) -> None:
    with tsstore.open(data) as store:
        store.write("BIG/1Min/OHLCV", bars(9000))
        store.flush()
    result = run("compact", "BIG/*/*")
    assert result.exit_code == 0
    assert run("check", "--deep", data).exit_code == 0


class TestBackup:
    def test_there_and_back(self, data, run, here) -> None:
        assert run("backup", "copy").exit_code == 0
        again = run("backup", "copy")
        assert again.exit_code == 0
        assert run("restore", "copy", "again").exit_code == 0
        assert closes(here / "again") == [0.0, 1.0, 2.0]
        assert run("check", "--deep", "--dir", "again").exit_code == 0

    def test_what_is_no_backup(self, data, run, here) -> None:
        (here / "empty").mkdir()
        assert run("restore", "empty", "again").exit_code == 3
        assert run("restore", "nowhere", "again").exit_code == 3
        run("backup", "copy")
        assert run("restore", "copy", "data").exit_code == 2

    def test_a_damaged_store(self, segment, run) -> None:
        damage(segment, 300)
        result = run("backup", "copy")
        assert result.exit_code == 4
        assert segment.name in result.stderr


class TestRepair:
    def test_a_damaged_segment(self, segment, data, run) -> None:
        damage(segment, 300)
        assert run("check", data).exit_code == 4
        dry = run("repair", data, "--dry-run")
        assert dry.exit_code == 4
        assert "lost: 4096 rows of BIG/1Min/OHLCV, 2024-01-02 14:30:00Z" in dry.output
        result = run("repair", data)
        assert result.exit_code == 0
        assert "4904 rows saved, 4096 lost" in result.output
        assert run("check", "--deep", data).exit_code == 0
        assert len(closes(data, "BIG/1Min/OHLCV")) == 4904
        assert closes(data) == [0.0, 1.0, 2.0]

    def test_the_command_that_undoes_it(self, segment, data, run) -> None:
        damage(segment, 300)
        before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
        found = run("check", data).stderr
        lines = run("repair", data).output.splitlines()
        assert f"put aside: {segment.relative_to(data)}" in lines
        assert lines[-2] == "to undo it, before anything is written there:"
        subprocess.run(lines[-1], shell=True, check=True)
        after = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
        assert after.items() >= before.items()
        assert run("check", data).stderr == found
        assert run("repair", data).exit_code == 0

    def test_many_files_are_counted(self, segment, data, run) -> None:
        with tsstore.open(data) as store:
            for number in range(20):
                store.bulk({f"S{number}/1Min/OHLCV": bars(11_000)})
        for path in data.rglob("*.seg"):
            damage(path, 300)
        lines = run("repair", data, "--dry-run").output.splitlines()
        assert sum(line.startswith("would put aside: buckets/") for line in lines) <= 20
        assert any(re.fullmatch(r"would put aside: \d+ more", line) for line in lines)

    def test_nothing_to_do(self, data, run) -> None:
        assert run("repair", data).output == f"{data}: no damage\n"

    def test_nothing_there(self, here, run) -> None:
        (here / "empty").mkdir()
        assert run("repair", "empty").exit_code == 3
        assert run("repair", "nowhere").exit_code == 3

    def test_somebody_has_it_open(self, data, run) -> None:
        with tsstore.open(data):
            assert run("repair", data).exit_code == 6


class TestCheck:
    def test_the_problem_names_bucket_and_time(self, segment, data, run) -> None:
        damage(segment, 300)
        line = run("check", data).stderr
        assert "4096 rows of BIG/1Min/OHLCV, 2024-01-02 14:30:00Z to 2024-01-05 10:46:00Z" in line
        assert "tsstore repair" in line

    def test_two_directories(self, data, run) -> None:
        assert run("check", data, "--dir", data).exit_code == 2


class TestDump:
    def test_a_segment(self, segment, run) -> None:
        result = run("dump", segment, "--rows", 2)
        assert result.exit_code == 0
        assert "bucket 3 BIG/1Min/OHLCV: rows 0 to 9000" in result.output
        assert "Close, raw, 32768 bytes, checksum ok" in result.output
        assert "2024-01-02 14:31:00Z  1.0  10" in result.output

    def test_a_damaged_segment(self, segment, run) -> None:
        damage(segment, 300)
        result = run("dump", segment, "--rows", 1)
        assert result.exit_code == 4
        assert "damaged 112: Epoch, raw, 32768 bytes, checksum wrong" in result.output

    def test_a_damaged_footer(self, segment, run) -> None:
        damage(segment, segment.stat().st_size - 100)
        result = run("dump", segment)
        assert result.exit_code == 4
        assert "damaged footer" in result.output
        assert "bucket 3 BIG/1Min/OHLCV" in result.output

    def test_a_log(self, data, run) -> None:
        [log] = data.glob("wal/*.wal")
        output = run("dump", log, "--rows", 1).output
        assert "create bucket 1 AAPL/1Min/OHLCV" in output
        assert "2024-01-02 14:30:00Z  0.0  0" in output

    def test_a_damaged_log(self, data, run) -> None:
        [log] = data.glob("wal/*.wal")
        damage(log, 200)
        result = run("dump", log)
        assert result.exit_code == 4
        assert "create bucket 2 MSFT/1Min/OHLCV" in result.output

    def test_a_manifest(self, segment, data, run) -> None:
        manifest = max(data.glob("MANIFEST-*"))
        output = run("dump", manifest).output
        assert f"segment {segment.relative_to(data)}: " in output
        assert "9000 rows" in output

    def test_another_file(self, here, run) -> None:
        (here / "letter.txt").write_text("mine")
        assert run("dump", "letter.txt").exit_code == 2


def test_all_of_it_through_a_server(here, run) -> None:
    settings = ServerSettings(port=0, backup_directory=str(here / "backups"))
    hub = StreamHub(queue_bytes_max=1 << 20)
    with tsstore.open(here / "served") as store:
        store.write(BARS, bars(1000))
        app = create_app(store, settings, hub=hub, heartbeat=dict)
        with serve(app, settings) as server:
            for arguments in (
                ("create", "X/1Min/OHLCV", "Close:f8"),
                ("destroy", "X/1Min/OHLCV", "--yes"),
                ("copy", BARS, MSFT),
                ("rename", MSFT, "NEW/1Min/OHLCV"),
                ("delete", "NEW/1Min/OHLCV", "--end", "2024-01-02 14:30", "--yes"),
                ("stats", "*/*/*"),
                ("stats", BARS),
                ("retention", "NEW/*/*", "--keep", "1D", "--yes"),
                ("compact",),
                ("backup", "nightly"),
            ):
                result = run(*arguments, "--url", server.url)
                assert result.exit_code == 0, (arguments, result.output)
        assert store.info("NEW/1Min/OHLCV").first_ns is None
    assert run("check", "--deep", here / "backups" / "nightly").exit_code == 0


@pytest.mark.parametrize("when", ["2025", "20250101"])
@pytest.mark.parametrize("command", ["delete", "query", "export"])
def test_a_year_is_not_taken_for_seconds(data, run, command: str, when: str) -> None:
    """A delete from an instant of 1970 on would take everything."""
    target = [BARS, "rows.csv"] if command == "export" else [BARS]
    result = run(command, *target, "--start", when)
    assert result.exit_code == 2
    assert "as seconds since 1970; write a day as 2013-10-08" in result.output
    assert len(closes(data)) == 3


def test_delete_says_what_a_time_was_taken_for(data, run) -> None:
    result = run("delete", BARS, "--start", "1700000000", "--end", "2024-01-02 14:30")
    assert "from 2023-11-14 22:13:20Z to 2024-01-02 14:30:00Z?" in result.output
    assert len(closes(data)) == 3
