"""Our own plugins do what every plugin has to do, and the contract notices those that do not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import ClassVar

import pytest

from tsstore.testing.plugins import ChangeTriggerContract, TriggerContract, WorkerContract


class TestStream(TriggerContract):
    plugin = "tsstore_stream:Trigger"
    on = "*/*/*"
    keys = ("AAA/1Min/OHLCV", "AAA/5Min/OHLCV", "BBB/1D/OHLCV")


class TestOnDiskAgg(ChangeTriggerContract):
    plugin = "tsstore_ondiskagg:Trigger"
    options: ClassVar = {"destinations": ["5Min", "1H", "1D", "1W"], "filter": "nasdaq"}
    timezone = "America/New_York"


class TestMassive(WorkerContract):
    """With nobody at the other end, which is when it is hardest to stop."""

    plugin = "tsstore_massive:Worker"
    options: ClassVar = {
        "api_key": "KEY",
        "base_url": "http://127.0.0.1:9",
        "ws_server": "ws://127.0.0.1:9",
        "symbols": ["AAPL"],
        "data_types": ["bars"],
        "query_start": {"1Min": "2024-06-03"},
    }

    @pytest.fixture(autouse=True)
    def _own_lock_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


class TestMassiveRollup(WorkerContract):
    plugin = "tsstore_massive.rollup:Worker"
    options: ClassVar = {"api_key": "KEY", "base_url": "http://127.0.0.1:9"}


BROKEN = '''
import threading
import msgspec
from tsstore.testing.plugins import ChangeTriggerContract, TriggerContract, WorkerContract

class Config(msgspec.Struct, forbid_unknown_fields=True):
    pass

class Base:
    Config = Config
    def __init__(self, context, config):
        self.store = context.store
        self.context = context
    def fire(self, event): pass
    def close(self): pass

class Leaking(Base):
    def __init__(self, context, config):
        self.over = threading.Event()
        threading.Thread(target=self.over.wait, args=(30,), daemon=True).start()

class NeedsCommits(Base):
    def fire(self, event):
        for key in event.batches:
            event.commits[key]

class NeedsOrder(Base):
    last = 0
    def fire(self, event):
        for rows in event.batches.values():
            assert rows.ts[0] > self.last
            self.last = int(rows.ts[-1])

class NeedsBuckets(Base):
    def fire(self, event):
        for key in event.batches:
            self.store.info(key)

class Counting(Base):
    """Adds what it hears of, so that the same twice is too much."""
    fire = property()
    def position(self):
        return 0
    def changed(self, event):
        for key in event.stretches:
            name = key.split("/")[0] + "/1D/COUNT"
            count = self.store.read(name)["N"][-1] if name in self.store.list() else 0
            self.store.write(name, {"Epoch": [0], "N": [int(count) + 1]})

class Deaf:
    Config = Config
    def __init__(self, context, config): pass
    def run(self):
        threading.Event().wait(60)

class TestLeaking(TriggerContract): plugin = "broken:Leaking"
class TestNeedsCommits(TriggerContract): plugin = "broken:NeedsCommits"
class TestNeedsOrder(TriggerContract): plugin = "broken:NeedsOrder"
class TestNeedsBuckets(TriggerContract): plugin = "broken:NeedsBuckets"
class TestCounting(ChangeTriggerContract): plugin = "broken:Counting"
class TestDeaf(WorkerContract): plugin = "broken:Deaf"
'''


def test_what_plugins_do_wrong_is_found(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "conftest.py").write_text(
        "import tsstore.testing.plugins\ntsstore.testing.plugins.PATIENCE_S = 0.2\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly",
         "--tb=no", "-rf", "broken.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    failed = set(re.findall(r"^FAILED broken.py::Test(\w+)::test_(\w+)", done.stdout, re.MULTILINE))
    expected = {
        ("Leaking", "its_threads_end_with_it"),
        ("NeedsCommits", "rows_may_come_without_their_commits"),
        ("NeedsOrder", "rows_may_come_late_and_again"),
        ("NeedsBuckets", "it_outlives_buckets_that_go"),
        ("Counting", "it_makes_up_for_what_it_missed"),
        ("Counting", "it_keeps_its_position"),
        ("Counting", "doing_the_same_twice_does_no_harm"),
        ("Deaf", "it_starts_and_stops_twice"),
        ("Deaf", "it_ends_soon_when_it_is_told_at_once"),
    }
    assert expected <= failed, done.stdout
    assert {name for name, _ in failed} == {name for name, _ in expected}
