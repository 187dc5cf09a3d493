"""Recorded frames are sent again as they were."""

from __future__ import annotations

import gzip
import json
import time
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator.conftest import Talk
from tsstore_massive_simulator.calendar import hours
from tsstore_massive_simulator.recording import Recording, RecordingError
from tsstore_massive_simulator.sources import Timing
from tsstore_massive_simulator.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulator.conftest import Start
    from tsstore_massive_simulator.generated import GeneratedMarket

FIRST = hours(date(2026, 10, 1)).open_ns
TRADE = {"ev": "T", "sym": "AAPL", "i": "1", "x": 4, "p": 1.5, "s": 1, "t": 1, "q": 1, "z": 1}
QUOTE = {"ev": "Q", "sym": "SPY", "t": 1, "q": 2, "z": 1}


def written(path: Path, *frames: tuple[int, Any]) -> Path:
    lines = "".join(f"{ns} {json.dumps(frame)}\n" for ns, frame in frames)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


def subscribed(talk: Callable[..., Talk], running: Any) -> Talk:
    client = talk(running)
    client.authenticate()
    client.say("subscribe", "T.*")
    assert client.hear()[0]["status"] == "success"
    return client


@pytest.mark.parametrize("name", ["frames", "frames.gz"])
def test_frames_stay_as_they_were(
    start: Start, talk: Callable[..., Talk], tmp_path: Path, name: str
) -> None:
    frames = [[TRADE, QUOTE], [QUOTE], [TRADE] * 300]
    path = written(tmp_path / name, *((FIRST + at, frame) for at, frame in enumerate(frames)))
    running = start(recording=Recording(path))
    client = subscribed(talk, running)
    assert [client.hear() for _ in frames] == frames
    assert running.simulator.state()["events_sent"] == {"T": 301, "Q": 2}


def test_frames_keep_their_times(start: Start, talk: Callable[..., Talk], tmp_path: Path) -> None:
    path = written(tmp_path / "frames", (FIRST, [TRADE]), (FIRST + 60 * 10**9, [QUOTE]))
    client = subscribed(talk, start(recording=Recording(path), speed=100))
    assert client.hear() == [TRADE]
    began = time.monotonic()
    assert client.hear() == [QUOTE]
    assert time.monotonic() - began > 0.4


def test_a_played_day_can_be_recorded(
    start: Start, talk: Callable[..., Talk], tmp_path: Path, market: GeneratedMarket
) -> None:
    tape = Tape(market, date(2026, 10, 1), {"T": frozenset({"AAPL"}), "AM": None}, Timing())
    batches = tape.batches(0, 2000, 7, keep=False)
    path = tmp_path / "frames"
    path.write_bytes(b"".join(b"%d %s\n" % (FIRST, batch.text) for batch in batches))
    client = subscribed(talk, start(recording=Recording(path)))
    assert client.events(2000) == [event for batch in batches for event in json.loads(batch.text)]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no frames"), ("1 [1]\nsoon []\n", "line 2: expected"), ("1 {}\n", "line 1")],
)
def test_what_is_no_recording_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "frames"
    path.write_text(text)
    with pytest.raises(RecordingError, match=message):
        Recording(path)
